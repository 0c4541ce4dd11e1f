//! Threads are checkpointed while they wait with a timeout in poll, futex and sigtimedwait.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::AtomicU32;

pub const WORKLOAD: Workload = Workload {
    purpose: "waits with a time limit end with the right result, not too early",
    needs: &[],
    active: true,
    statik: false,
    run,
};

/// Writable: a futex in a read-only private copy of a page, as constants are on powerpc, is refused
/// with EFAULT (`get_futex_key`, kernel/futex/core.c).
static WORD: AtomicU32 = AtomicU32::new(0);

type Wait = (&'static str, libc::c_long, fn(&libc::timespec) -> libc::c_long, Option<i32>);

/// The call, its number, how to make it, and its expected errno.
const WAITS: [Wait; 3] = [
    (
        "poll",
        libc::SYS_ppoll,
        // SAFETY: no descriptors, no mask; the kernel may write to the time, a copy of the
        // caller's.
        |time| unsafe {
            let mut time = *time;
            libc::syscall(libc::SYS_ppoll, 0usize, 0usize, &mut time, 0usize, 8usize)
        },
        None,
    ),
    (
        "futex",
        libc::SYS_futex,
        // SAFETY: the word and the time live through the call.
        |time| unsafe { libc::syscall(libc::SYS_futex, WORD.as_ptr(), libc::FUTEX_WAIT, 0u32, time) },
        Some(libc::ETIMEDOUT),
    ),
    (
        "sigtimedwait",
        libc::SYS_rt_sigtimedwait,
        // SAFETY: the set and the time live through the call; no siginfo is requested.
        |time| unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &(1u64 << 59), 0usize, time, 8usize) },
        Some(libc::EAGAIN),
    ),
];

fn run(cx: &mut Ctx) -> Outcome {
    let mut threads = Vec::new();
    for (name, _, wait, errno) in WAITS {
        threads.push(thread::spawn(move || {
            let start = helpers::now(libc::CLOCK_MONOTONIC)?;
            let rc = wait(&helpers::timespec(helpers::SHORT));
            expect_eq(&format!("errno of {name}"), sys::errno_of(rc), errno)?;
            let waited = helpers::now(libc::CLOCK_MONOTONIC)?.saturating_sub(start);
            expect(waited >= helpers::SHORT, || format!("{name} of {:?} took {waited:?}", helpers::SHORT))
        })?);
    }
    for (thread, (_, nr, _, _)) in threads.iter().zip(WAITS) {
        helpers::settle(thread, nr)?;
    }

    cx.ready()?;

    threads.into_iter().try_for_each(Thread::join)
}
