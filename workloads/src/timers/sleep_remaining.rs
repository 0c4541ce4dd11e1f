//! A long sleep is interrupted afterwards: it returns the remaining time, and none of it was lost.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "the remaining time of an interrupted nanosleep and select",
    needs: &[],
    active: true,
    statik: false,
    run,
};

extern "C" fn nothing(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// Longer than the time between a restart and the interruption, even on a busy machine: a sleep
/// that started over would otherwise look like one that continued.
const BEFORE: Duration = Duration::from_secs(2);

fn check(what: &str, left: Duration) -> Outcome {
    helpers::expect_running(what, (left, Duration::ZERO), (helpers::LONG - BEFORE, Duration::ZERO))
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    signal::handle(libc::SIGUSR1, nothing, 0, &[])?;
    let naps = fork("the process in nanosleep", || {
        let (time, mut left) = (helpers::timespec(helpers::LONG), helpers::timespec(Duration::ZERO));
        // SAFETY: both live through the call.
        let rc = unsafe { libc::syscall(libc::SYS_nanosleep, &time, &mut left) };
        expect_eq("errno of nanosleep", sys::errno_of(rc), Some(libc::EINTR))?;
        check("nanosleep", helpers::duration(&left))
    })?;
    let selects = fork("the process in pselect", || {
        let mut left = helpers::timespec(helpers::LONG);
        let none = std::ptr::null_mut::<libc::fd_set>();
        let mask = std::ptr::null::<libc::sigset_t>();
        // SAFETY: no sets and no mask; the kernel writes what is left to the time. Raw, because
        // libc hides that.
        let rc = unsafe { libc::syscall(libc::SYS_pselect6, 0, none, none, none, &mut left, mask) };
        expect_eq("errno of pselect", sys::errno_of(rc), Some(libc::EINTR))?;
        check("pselect", helpers::duration(&left))
    })?;
    stage.wait_in(&naps, libc::SYS_nanosleep)?;
    stage.wait_in(&selects, libc::SYS_pselect6)?;
    std::thread::sleep(BEFORE);

    cx.ready()?;

    naps.kill(libc::SIGUSR1)?;
    selects.kill(libc::SIGUSR1)?;
    naps.join()?;
    selects.join()
}
