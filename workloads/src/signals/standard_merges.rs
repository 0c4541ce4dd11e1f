//! A standard signal that is sent again while it is pending is not queued again, before or after.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pending standard signal stays one, and further ones merge into it",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let me = sys::getpid();
    signal::block(&[libc::SIGUSR1])?;
    signal::queue(me, libc::SIGUSR1, 1)?;
    signal::queue(me, libc::SIGUSR1, 2)?;
    signal::kill(me, libc::SIGUSR1)?;

    cx.ready()?;

    signal::queue(me, libc::SIGUSR1, 3)?;
    let info = signal::take(&[libc::SIGUSR1])?.context("SIGUSR1 is not pending")?;
    expect_eq("code and value of the first", (info.code(), info.value()), (libc::SI_QUEUE, 1))?;
    expect_eq("a second one", signal::take(&[libc::SIGUSR1])?, None)
}
