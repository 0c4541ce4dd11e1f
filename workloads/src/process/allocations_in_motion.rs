//! The allocator's locks and lists are caught in the middle of their work.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads that allocate, fill, verify and free all the time",
    needs: &[],
    active: true,
    statik: false,
    run,
};

static ROUNDS: Rounds = Rounds::new();

fn run(cx: &mut Ctx) -> Outcome {
    let seed = cx.seed;
    let mut threads = Vec::new();
    for number in 0..3 {
        threads.push(thread::spawn(move || churn(seed + number))?);
    }
    ROUNDS.cross(cx, 100, 100)?;
    threads.into_iter().try_for_each(Thread::join)
}

fn churn(seed: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    let mut held: Vec<(Vec<u8>, u64)> = Vec::new();
    while ROUNDS.wanted() {
        let key = rng.word();
        let len = if key.is_multiple_of(64) { 150_000 } else { 1 + rng.below(2000) };
        held.push((pattern::bytes(len as usize, key), key));
        if held.len() > 40 {
            let (block, key) = held.swap_remove(rng.below(40) as usize);
            pattern::verify("block", &block, key)?;
        }
        ROUNDS.bump();
    }
    held.iter().try_for_each(|(block, key)| pattern::verify("block", block, *key))
}
