//! pause(2) returns EINTR after a handler has run, and at no other time: not because of a
//! checkpoint.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread in pause that only a handled signal may wake",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static HANDLED: AtomicU32 = AtomicU32::new(0);
static RETURNED: Cell = Cell::new();

extern "C" fn handler(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: the handler only touches an atomic, so it is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        sys::check("sigaction", libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()))?;
    }
    let pausing = thread::spawn(|| {
        // SAFETY: no preconditions.
        let rc = unsafe { libc::pause() };
        expect_eq("how pause ended", sys::errno_of(rc), Some(libc::EINTR))?;
        RETURNED.bump();
        expect_eq("handlers that ran before", HANDLED.load(Ordering::SeqCst), 1)
    })?;
    pausing.wait_blocked_in(arch::PAUSE)?;

    cx.ready()?;

    pausing.wait_blocked_in(arch::PAUSE)?;
    expect_eq("returns from pause", RETURNED.get(), 0)?;
    // SAFETY: the thread has not been joined.
    expect_eq("pthread_kill", unsafe { libc::pthread_kill(pausing.pthread(), libc::SIGUSR1) }, 0)?;
    pausing.join()
}
