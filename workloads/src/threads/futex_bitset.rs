//! FUTEX_WAIT_BITSET: each waiter is woken by its own bit only. Waiters with long
//! relative timeouts stay asleep.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

pub const WORKLOAD: Workload = Workload {
    purpose: "futex waiters with bit masks, and one with a timeout far away",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static WORD: AtomicU32 = AtomicU32::new(7);
static WOKEN: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let mut threads = Vec::new();
    for bit in [1u32 << 3, 1 << 17] {
        threads.push(thread::spawn(move || {
            let rc = wait(libc::FUTEX_WAIT_BITSET, std::ptr::null(), bit);
            expect_eq("wait for a bit", rc, None)?;
            WOKEN.bump();
            Ok(())
        })?);
    }
    let patient = thread::spawn(|| {
        let hour = libc::timespec { tv_sec: 3600, tv_nsec: 0 };
        expect_eq("wait of an hour", wait(libc::FUTEX_WAIT, &hour, 0), None)?;
        WOKEN.bump();
        Ok(())
    })?;
    for thread in threads.iter().chain([&patient]) {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    expect_eq("waiters that woke early", WOKEN.get(), 0)?;
    // A checkpoint may have made waiters restart the call: they may not be in the queue yet.
    for (number, bit) in [(1, 1u32 << 17), (2, 1 << 3)] {
        sync::wait_until("a waiter to be woken by its bit", || Ok(wake(bit)? == 1))?;
        WOKEN.wait("the waiter that was woken", number)?;
    }
    sync::wait_until("the last waiter to be woken", || Ok(wake(u32::MAX)? == 1))?;
    patient.join()?;
    threads.into_iter().try_for_each(Thread::join)
}

/// futex(2) on the word while it is 7; returns its errno.
fn wait(operation: i32, timeout: *const libc::timespec, bits: u32) -> Option<i32> {
    // SAFETY: the word is static, the timeout is null or lives in the caller.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_futex,
            WORD.as_ptr(),
            operation | libc::FUTEX_PRIVATE_FLAG,
            7,
            timeout,
            0,
            bits,
        )
    };
    debug_assert_eq!(WORD.load(Ordering::SeqCst), 7);
    sys::errno_of(rc)
}

fn wake(bits: u32) -> anyhow::Result<i64> {
    let operation = libc::FUTEX_WAKE_BITSET | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is static; no memory is written.
    sys::check("futex", unsafe { libc::syscall(libc::SYS_futex, WORD.as_ptr(), operation, 1, 0, 0, bits) })
}
