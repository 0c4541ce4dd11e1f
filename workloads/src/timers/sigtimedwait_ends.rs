//! sigtimedwait(2) ends with EINTR whatever interrupts it, so it is restarted; and it ends when it
//! would have ended, which is measured by a sleep that began with it.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "sigtimedwait ends at its time, or with the signal that comes before, and never with EINTR",
    needs: &[],
    active: true,
    statik: false,
    run,
};

/// Length of sleep and wait. Both are prolonged by a checkpoint and a restart, so they are compared
/// with each other and not with a clock.
const TIME: Duration = Duration::from_millis(2500);
/// How much of it has passed before that: a wait that starts over would end that much later.
const BEFORE: Duration = Duration::from_millis(2000);
const AWAITED: i32 = 44;

/// Waits this long for a signal: its number, or the errno.
fn wait(time: Duration) -> anyhow::Result<Result<i32, i32>> {
    signal::block(&[AWAITED])?;
    let set = signal::bits(&[AWAITED]);
    // SAFETY: the set and the time live through the call; no siginfo is requested.
    let rc =
        unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &set, 0usize, &helpers::timespec(time), 8usize) };
    Ok(sys::errno_of(rc).map_or(Ok(rc as i32), Err))
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let sleeps = fork("the process that sleeps", || {
        // SAFETY: the time lives through the call.
        let rc = unsafe { libc::syscall(libc::SYS_nanosleep, &helpers::timespec(TIME), 0usize) };
        expect_eq("errno of nanosleep", sys::errno_of(rc), None)
    })?;
    let waits =
        fork("the process that waits", || expect_eq("what it ended with", wait(TIME)?, Err(libc::EAGAIN)))?;
    let gets = fork("the process that gets its signal", || {
        expect_eq("the signal", wait(helpers::LONG)?, Ok(AWAITED))
    })?;
    stage.wait_in(&sleeps, libc::SYS_nanosleep)?;
    stage.wait_in(&waits, libc::SYS_rt_sigtimedwait)?;
    stage.wait_in(&gets, libc::SYS_rt_sigtimedwait)?;
    std::thread::sleep(BEFORE);

    cx.ready()?;

    gets.kill(AWAITED)?;
    gets.join()?;
    sleeps.join()?;
    let slept = helpers::now(libc::CLOCK_MONOTONIC)?;
    waits.join()?;
    let late = helpers::now(libc::CLOCK_MONOTONIC)?.saturating_sub(slept);
    expect(late < BEFORE / 2, || format!("the wait ended {late:?} after a sleep that began with it"))
}
