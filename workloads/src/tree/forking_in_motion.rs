//! A process creates and reaps children as fast as it can; each child does a little work.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process that forks and reaps all the time",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let seed = cx.seed;
    let breeder = fork("the breeder", || {
        let mut n = 0u64;
        while shared.cell(1).get() == 0 {
            let code = (n % 200) as i32;
            let child = fork("a short-lived child", || {
                let memory = pattern::bytes(256, seed ^ n);
                pattern::verify("memory", &memory, seed ^ n)?;
                helpers::exit(code)
            })?;
            child.join_as(code)?;
            n += 1;
            shared.number(0).store(n, SeqCst);
        }
        Ok(())
    })?;
    let born = |more| sync::wait_for_more("children to come and go", shared.number(0), more);
    born(3)?;

    cx.ready()?;

    born(3)?;
    shared.cell(1).set(1);
    breeder.join()
}
