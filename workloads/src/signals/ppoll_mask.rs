//! A process waits in ppoll and another in pselect, each with a temporary mask.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "processes blocked in ppoll and pselect with temporary signal masks",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static RAN: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    RAN.store(number, SeqCst);
}

/// Blocks with SIGUSR1 unblocked by `wait` only.
fn body(wait: fn(&libc::sigset_t) -> i32) -> Outcome {
    let usual = signal::bits(&[libc::SIGUSR1, libc::SIGTERM]);
    signal::handle(libc::SIGUSR1, note, libc::SA_RESTART, &[])?;
    signal::set_mask(usual)?;
    let rc = wait(&sys::signal_set(&[libc::SIGQUIT]));
    expect_eq("errno of the wait", sys::errno_of(rc), Some(libc::EINTR))?;
    expect_eq("handler ran for", RAN.load(SeqCst), libc::SIGUSR1)?;
    expect_eq("mask afterwards", signal::mask()?, usual)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let polls = fork("the process in ppoll", || {
        // SAFETY: no descriptors and no timeout; the mask lives through the call.
        body(|mask| unsafe { libc::ppoll(std::ptr::null_mut(), 0, std::ptr::null(), mask) })
    })?;
    let selects = fork("the process in pselect", || {
        body(|mask| {
            let none = std::ptr::null_mut();
            // SAFETY: no sets and no timeout; the mask lives through the call.
            unsafe { libc::pselect(0, none, none, none, std::ptr::null(), mask) }
        })
    })?;
    stage.wait_in(&polls, libc::SYS_ppoll)?;
    stage.wait_in(&selects, libc::SYS_pselect6)?;

    cx.ready()?;

    for child in [polls, selects] {
        let blocked = procfs::bits(child.pid, "SigBlk")?;
        expect_eq(&format!("mask of {}", child.name), blocked, signal::bit(libc::SIGQUIT))?;
        child.kill(libc::SIGUSR1)?;
        child.join()?;
    }
    Ok(())
}
