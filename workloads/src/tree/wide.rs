//! Fifty children of one parent, each with its own number.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "fifty children, each with its own pid and memory",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let root = sys::getpid();
    let mut children = Vec::new();
    for index in 0..50u64 {
        children.push(stage.fork("one of fifty", |stage| {
            let (me, memory) = (sys::getpid(), pattern::bytes(64, index));
            stage.hold();
            expect_eq("pid and parent", (sys::getpid(), helpers::parent()), (me, root))?;
            pattern::verify("memory", &memory, index)?;
            stage.shared().number(index as usize).store(me as u64, SeqCst);
            Ok(())
        })?);
    }

    cx.ready()?;

    stage.release();
    for (index, child) in children.into_iter().enumerate() {
        let pid = child.pid;
        child.join()?;
        expect_eq(&format!("pid of child {index}"), stage.shared().number(index).load(SeqCst), pid as u64)?;
    }
    Ok(())
}
