//! Many blocked threads, each with state of its own.

use crate::framework::prelude::*;

static GO: Cell = Cell::new();

/// `count` threads blocked in futex(2). Afterwards each finds its id, its stack contents and its
/// signal mask as before, and all can be joined.
pub fn blocked_crowd(cx: &mut Ctx, count: u64) -> Outcome {
    let seed = cx.seed;
    let mut threads = Vec::new();
    for number in 0..count {
        threads.push(thread::spawn(move || {
            let mut contents = [0u8; 256];
            pattern::fill(std::hint::black_box(&mut contents), seed + number);
            let tid = sys::gettid();
            GO.block_until(1);
            expect_eq("thread id", sys::gettid(), tid)?;
            pattern::verify("stack contents", std::hint::black_box(&contents), seed + number)
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }
    let tids = procfs::tids()?;
    expect_eq("threads", tids.len() as u64, count + 1)?;
    cx.gate.without_watchdog();

    cx.ready()?;

    expect_eq("thread ids", procfs::tids()?, tids)?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}
