//! A process waits in rt_sigtimedwait without a timeout, and nothing but its signal ends the wait.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process blocked in sigwaitinfo gets its signal with the value",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = fork("the waiting process", || {
        signal::block(&[libc::SIGUSR1, 44])?;
        let info = signal::wait_forever(&[44])?;
        expect_eq("value", (info.signal(), info.value()), (44, 0x5eed))?;
        expect_eq("mask afterwards", signal::mask()?, signal::bits(&[libc::SIGUSR1, 44]))
    })?;
    stage.wait_in(&child, libc::SYS_rt_sigtimedwait)?;

    cx.ready()?;

    signal::queue(child.pid, 44, 0x5eed)?;
    child.join()
}
