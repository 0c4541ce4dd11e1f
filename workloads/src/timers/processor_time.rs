//! CPU-time timers stand still while the process waits and expire when it computes.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "ITIMER_VIRTUAL and ITIMER_PROF expire by work that is done afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static VIRTUAL: AtomicU64 = AtomicU64::new(0);
static PROFILE: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(number: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let counter = if number == libc::SIGPROF { &PROFILE } else { &VIRTUAL };
    counter.fetch_add(1, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    signal::handle(libc::SIGVTALRM, count, libc::SA_RESTART, &[])?;
    signal::handle(libc::SIGPROF, count, libc::SA_RESTART, &[])?;
    // Much more than the programs of an engine take, which are charged to the process.
    let little = Duration::from_millis(150);
    helpers::set_interval(libc::ITIMER_VIRTUAL, (little, Duration::ZERO))?;
    helpers::set_interval(libc::ITIMER_PROF, (little, little))?;

    cx.ready()?;

    let mut work = Rng::new(cx.seed);
    let end = std::time::Instant::now() + sync::time_left();
    while VIRTUAL.load(SeqCst) < 1 || PROFILE.load(SeqCst) < 2 {
        for _ in 0..10_000 {
            std::hint::black_box(work.word());
        }
        expect(std::time::Instant::now() < end, || "timed out waiting for the timers".into())?;
    }
    expect_eq("one-shot timer", VIRTUAL.load(SeqCst), 1u64)
}
