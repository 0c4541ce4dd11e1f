//! Periodic POSIX timers tick while the process waits: one for the process, one for a thread.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "periodic POSIX timers in motion, for the process and for a thread",
    needs: &[],
    active: true,
    statik: false,
    run,
};

static PROCESS: AtomicU64 = AtomicU64::new(0);
static THREAD: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);
static TID: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(number: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a whole siginfo to a handler with SA_SIGINFO.
    let info = unsafe { &*info.cast::<signal::Info>() };
    let here = sys::gettid() as u64 == TID.load(SeqCst);
    if info.code() != libc::SI_TIMER || info.value() != number as usize || (number == 51 && !here) {
        WRONG.fetch_add(1, SeqCst);
    }
    let counter = if number == 51 { &THREAD } else { &PROCESS };
    counter.fetch_add(1, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let thread = thread::spawn(|| {
        GO.block_until(1);
        Ok(())
    })?;
    TID.store(thread.tid as u64, SeqCst);
    for number in [50, 51] {
        signal::handle(number, count, libc::SA_RESTART, &[])?;
    }
    let (fast, slow) = (Duration::from_millis(3), Duration::from_millis(5));
    let one = helpers::create(libc::CLOCK_MONOTONIC, helpers::Notify::Signal(50, 50))?;
    let two = helpers::create(libc::CLOCK_REALTIME, helpers::Notify::Thread(thread.tid, 51, 51))?;
    helpers::set(one, (fast, fast), false)?;
    helpers::set(two, (slow, slow), false)?;
    let ticks = |more: u64| {
        let goals = (PROCESS.load(SeqCst) + more, THREAD.load(SeqCst) + more);
        sync::wait_until("both timers to tick", || {
            Ok(PROCESS.load(SeqCst) >= goals.0 && THREAD.load(SeqCst) >= goals.1)
        })
    };
    ticks(2)?;

    cx.ready()?;

    ticks(5)?;
    expect_eq("intervals", (helpers::get(one)?.1, helpers::get(two)?.1), (fast, slow))?;
    helpers::delete(one)?;
    helpers::delete(two)?;
    expect_eq("ticks with a wrong code, value or thread", WRONG.load(SeqCst), 0u64)?;
    GO.set(1);
    thread.join()
}
