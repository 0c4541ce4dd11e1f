//! Real-time signals are queued, several of each, and delivered lowest first, oldest first.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the order of queued real-time signals and the value of each",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let me = sys::getpid();
    let all: Vec<i32> = (34..=64).step_by(6).collect();
    signal::block(&all)?;
    let mut rng = Rng::new(cx.seed);
    let mut want: Vec<(i32, usize)> = Vec::new();
    for _ in 0..60 {
        let (number, value) = (all[rng.below(all.len() as u64) as usize], rng.word() as usize);
        signal::queue(me, number, value)?;
        want.push((number, value));
    }
    // Lowest number first; the sort is stable, so the oldest first among equals.
    want.sort_by_key(|(number, _)| *number);

    cx.ready()?;

    for (index, expected) in want.into_iter().enumerate() {
        let info = signal::take(&all)?.with_context(|| format!("only {index} signals are queued"))?;
        expect_eq(&format!("signal and value {index}"), (info.signal(), info.value()), expected)?;
    }
    expect_eq("left over", signal::take(&all)?, None)
}
