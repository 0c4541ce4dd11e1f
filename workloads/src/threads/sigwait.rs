//! sigwait(3), which is rt_sigtimedwait(2) without a timeout, with the signal blocked in every
//! thread.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread waiting for a signal synchronously",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let set = sys::signal_set(&[libc::SIGUSR2]);
    // SAFETY: the set is valid; threads made afterwards inherit the mask.
    let rc = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    expect_eq("pthread_sigmask", rc, 0)?;
    let waiter = thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: the set and the number live through the call.
        expect_eq("sigwait", unsafe { libc::sigwait(&set, &mut signal) }, 0)?;
        expect_eq("the signal that came", signal, libc::SIGUSR2)
    })?;
    waiter.wait_blocked_in(libc::SYS_rt_sigtimedwait)?;

    cx.ready()?;

    // SAFETY: the signal is blocked everywhere, so only the waiter takes it.
    sys::check("kill", unsafe { libc::kill(sys::getpid(), libc::SIGUSR2) })?;
    waiter.join()
}
