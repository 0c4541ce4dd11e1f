//! A process with no_new_privs, and a sibling without.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the no_new_privs flag of each process and thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let stage = Stage::new()?;
    let flag = || helpers::prctl(libc::PR_GET_NO_NEW_PRIVS, 0);
    let without = stage.fork("the process without", |stage| {
        stage.hold();
        expect_eq("no_new_privs", flag()?, 0)
    })?;
    let with = stage.fork("the process with", |stage| {
        // The flag is per thread; threads created later inherit it.
        let free = thread::spawn(move || {
            GO.block_until(1);
            expect_eq("no_new_privs of the first thread", flag()?, 0)
        })?;
        helpers::prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
        let bound = thread::spawn(move || {
            GO.block_until(1);
            expect_eq("no_new_privs of the second thread", flag()?, 1)
        })?;
        free.wait_blocked_in(libc::SYS_futex)?;
        bound.wait_blocked_in(libc::SYS_futex)?;
        stage.hold();
        expect_eq("no_new_privs", flag()?, 1)?;
        GO.set(1);
        free.join()?;
        bound.join()
    })?;

    cx.ready()?;

    stage.release();
    without.join()?;
    with.join()
}
