//! Per-CPU counters, incremented with a load and a store and no lock: correct only because the
//! kernel sends a thread that was interrupted between the two to its abort handler. A restart must
//! do the same, or increments get lost.

use super::rseq;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

pub const WORKLOAD: Workload = Workload {
    purpose: "threads inside of restartable sequences all the time",
    needs: &[Need::Dynamic],
    active: true,
    statik: false,
    run,
};

const CPUS: usize = 1024;
static COUNTERS: [AtomicU64; CPUS] = [const { AtomicU64::new(0) }; CPUS];
static ROUNDS: Rounds = Rounds::new();

fn run(cx: &mut Ctx) -> Outcome {
    let Some(offset) = rseq::offset()? else {
        return skip("the C library registers no rseq area");
    };
    static DONE: AtomicU64 = AtomicU64::new(0);
    let mut threads = Vec::new();
    for _ in 0..3 {
        threads.push(thread::spawn(move || {
            let mut count = 0;
            while ROUNDS.wanted() {
                for _ in 0..100 {
                    rseq::increment(offset, &COUNTERS)?;
                    count += 1;
                }
                ROUNDS.bump();
            }
            DONE.fetch_add(count, Ordering::SeqCst);
            Ok(())
        })?);
    }
    ROUNDS.cross(cx, 6, 10)?;
    threads.into_iter().try_for_each(Thread::join)?;
    let sum: u64 = COUNTERS.iter().map(|counter| counter.load(Ordering::SeqCst)).sum();
    expect_eq("sum of the counters", sum, DONE.load(Ordering::SeqCst))
}
