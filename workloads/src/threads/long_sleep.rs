//! nanosleep(2) keeps its end in the kernel's restart block. The sleep is then interrupted: the
//! remaining time must be less than the hour by at least the time that had passed before `ready`,
//! and by no more than the run can have lasted.

use crate::framework::prelude::*;
use std::time::{Duration, Instant};

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread in a sleep of an hour, which must neither end nor start over",
    needs: &[],
    // A checkpoint interrupts the call, and the kernel then writes the remaining time into memory.
    active: true,
    statik: false,
    run,
};

static REMAINING: Shares = Shares::new();

struct Shares(std::sync::Mutex<Option<Duration>>);

impl Shares {
    const fn new() -> Self {
        Self(std::sync::Mutex::new(None))
    }
}

extern "C" fn handler(_: libc::c_int) {}

/// Longer than the time between a restart and the interruption, even on a busy machine.
const SOME: Duration = Duration::from_secs(2);

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: the handler does nothing, so it is async-signal-safe; flags without SA_RESTART.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        sys::check("sigaction", libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()))?;
    }
    let start = Instant::now();
    let sleeper = thread::spawn(|| {
        let hour = libc::timespec { tv_sec: 3600, tv_nsec: 0 };
        let mut rest = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: both live through the call.
        let rc = unsafe { libc::nanosleep(&hour, &mut rest) };
        expect_eq("how the sleep ended", sys::errno_of(rc), Some(libc::EINTR))?;
        let rest = Duration::new(rest.tv_sec as u64, rest.tv_nsec as u32);
        *REMAINING.0.lock().expect("unpoisoned") = Some(rest);
        Ok(())
    })?;
    sleeper.wait_blocked_in(libc::SYS_clock_nanosleep)?;
    let asleep = Instant::now();
    sync::wait_until("some of the sleep to go by", || Ok(asleep.elapsed() > SOME))?;
    let slept = asleep.elapsed();

    cx.ready()?;

    sync::wait_until("the thread to be asleep again", || {
        // restart_syscall(2) replaces the sleep if the kernel resumed it.
        let blocked = |nr| procfs::is_blocked_in(sys::getpid(), sleeper.tid, nr);
        Ok(blocked(libc::SYS_clock_nanosleep)?
            || blocked(libc::SYS_restart_syscall)?
            || blocked(libc::SYS_nanosleep)?)
    })?;
    // SAFETY: the thread has not been joined.
    expect_eq("pthread_kill", unsafe { libc::pthread_kill(sleeper.pthread(), libc::SIGUSR1) }, 0)?;
    sleeper.join()?;
    let rest = REMAINING.0.lock().expect("unpoisoned").context("the sleeper left no remainder")?;
    let hour = Duration::from_secs(3600);
    expect(rest <= hour - slept, || format!("{rest:?} remain, though {slept:?} had gone by before ready"))?;
    expect(rest >= hour - start.elapsed() - Duration::from_secs(600), || {
        format!("only {rest:?} of the hour remain")
    })
}
