//! Registers change all the time, without a system call. Each thread repeats a fixed computation
//! and compares the result with an earlier one.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads that compute without a system call",
    needs: &[],
    active: true,
    statik: true,
    run,
};

static ROUNDS: Rounds = Rounds::new();

fn run(cx: &mut Ctx) -> Outcome {
    let seed = cx.seed;
    let mut threads = Vec::new();
    for number in 0..3 {
        let want = mix(seed + number);
        threads.push(thread::spawn(move || {
            while ROUNDS.wanted() {
                expect_eq("result of the computation", mix(std::hint::black_box(seed + number)), want)?;
                ROUNDS.bump();
            }
            Ok(())
        })?);
    }
    ROUNDS.cross(cx, 3, 6)?;
    threads.into_iter().try_for_each(Thread::join)
}

/// Long enough to be interrupted, short enough for a slow machine.
#[inline(never)]
fn mix(seed: u64) -> [u64; 4] {
    let mut rng = Rng::new(seed);
    let mut state = [rng.word(), rng.word(), rng.word(), rng.word()];
    for round in 0..20_000u64 {
        state[0] = state[0].wrapping_add(state[3]).rotate_left(13) ^ round;
        state[1] = state[1].wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ state[0];
        state[2] = state[2].rotate_right(7).wrapping_sub(state[1]);
        state[3] ^= state[2].count_ones() as u64 + state[0];
    }
    state
}
