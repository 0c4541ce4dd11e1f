//! FUTEX_WAIT_BITSET with an absolute deadline: it expires at the same time
//! whenever the wait is restarted.

use crate::framework::prelude::*;
use std::sync::atomic::AtomicU32;

pub const WORKLOAD: Workload = Workload {
    purpose: "a futex waiter with an absolute deadline that passes",
    needs: &[],
    // The deadline may pass between two checkpoints.
    active: true,
    statik: false,
    run,
};

static WORD: AtomicU32 = AtomicU32::new(7);

fn run(cx: &mut Ctx) -> Outcome {
    let mut deadline = now()?;
    deadline.tv_sec += 1;
    let waiter = thread::spawn(move || {
        let operation = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word is static, the deadline lives through the call.
        let rc =
            unsafe { libc::syscall(libc::SYS_futex, WORD.as_ptr(), operation, 7, &deadline, 0, u32::MAX) };
        expect_eq("wait with a deadline", sys::errno_of(rc), Some(libc::ETIMEDOUT))?;
        let now = now()?;
        expect((now.tv_sec, now.tv_nsec) >= (deadline.tv_sec, deadline.tv_nsec), || "it ended early".into())
    })?;

    cx.ready()?;

    waiter.join()
}

fn now() -> anyhow::Result<libc::timespec> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` lives through the call.
    sys::check("clock_gettime", unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) })?;
    Ok(now)
}
