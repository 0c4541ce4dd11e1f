//! A process keeps rewriting an unlinked file and checks its last write.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "an unlinked file that is written and read back all the time",
    needs: &[],
    active: true,
    statik: false,
    run,
};

const LEN: usize = 30_000;

fn run(cx: &mut Ctx) -> Outcome {
    let (shared, seed) = (Shared::new()?, cx.seed);
    let writer = fork("the writer", || {
        let file = helpers::make_unlinked("gone", LEN, seed)?;
        let mut n = 0u64;
        while shared.cell(1).get() == 0 {
            helpers::verify(&format!("round {n}"), &file, LEN, seed ^ n)?;
            n += 1;
            fd::seek(&file, 0, libc::SEEK_SET)?;
            fd::write_all(&file, &pattern::bytes(LEN, seed ^ n))?;
            shared.number(0).store(n, SeqCst);
        }
        Ok(())
    })?;
    let written = |more| sync::wait_for_more("rounds", shared.number(0), more);
    written(2)?;

    cx.ready()?;

    written(2)?;
    shared.cell(1).set(1);
    writer.join()
}
