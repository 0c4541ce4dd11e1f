//! A process waits in pause(2) until a handler has run.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "a process blocked in pause returns after a handler, not before",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static RAN: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    RAN.store(number, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = fork("the waiting process", || {
        signal::handle(libc::SIGUSR1, note, libc::SA_RESTART, &[])?;
        // SAFETY: pause has no preconditions.
        let rc = unsafe { libc::pause() };
        expect_eq("errno of pause", sys::errno_of(rc), Some(libc::EINTR))?;
        expect_eq("handler ran for", RAN.load(SeqCst), libc::SIGUSR1)
    })?;
    stage.wait_in(&child, arch::PAUSE)?;

    cx.ready()?;

    child.kill(libc::SIGUSR1)?;
    child.join()
}
