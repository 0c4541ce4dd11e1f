//! A process appends records to a file as fast as it can; the file is checked from its beginning.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "a file that grows all the time: no record lost, doubled or torn",
    needs: &[],
    active: true,
    statik: false,
    run,
};

const RECORD: usize = 100;

fn run(cx: &mut Ctx) -> Outcome {
    let (shared, seed) = (Shared::new()?, cx.seed);
    let writer = fork("the writer", || {
        let file = fd::open("log", helpers::MAKE | libc::O_APPEND, 0o600)?;
        let mut n = 0u64;
        while shared.cell(1).get() == 0 && n < 300_000 {
            fd::write_all(&file, &pattern::bytes(RECORD, seed ^ n))?;
            n += 1;
            shared.number(0).store(n, SeqCst);
        }
        Ok(())
    })?;
    let written = |more: u64| {
        let goal = shared.number(0).load(SeqCst) + more;
        sync::wait_until("records to be written", || Ok(shared.number(0).load(SeqCst) >= goal.min(300_000)))
    };
    written(10)?;

    cx.ready()?;

    written(10)?;
    shared.cell(1).set(1);
    writer.join()?;
    let all = std::fs::read("log").context("read the log")?;
    expect_eq("size", all.len() as u64, shared.number(0).load(SeqCst) * RECORD as u64)?;
    for (n, record) in all.chunks(RECORD).enumerate() {
        pattern::verify(&format!("record {n}"), record, seed ^ n as u64)?;
    }
    Ok(())
}
