//! A chaotic recurrence: one wrong bit anywhere changes the result. Each thread compares with an
//! earlier result.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads computing in double precision all the time",
    needs: &[],
    active: true,
    statik: true,
    run,
};

static ROUNDS: Rounds = Rounds::new();

fn run(cx: &mut Ctx) -> Outcome {
    let mut rng = Rng::new(cx.seed);
    let mut threads = Vec::new();
    for _ in 0..3 {
        let start = (rng.below(1_000_000) as f64 + 1.0) / 1_000_002.0;
        let want = orbit(start).to_bits();
        threads.push(thread::spawn(move || {
            while ROUNDS.wanted() {
                expect_eq("bits of the result", orbit(std::hint::black_box(start)).to_bits(), want)?;
                ROUNDS.bump();
            }
            Ok(())
        })?);
    }
    ROUNDS.cross(cx, 3, 6)?;
    threads.into_iter().try_for_each(Thread::join)
}

/// The logistic map, with a square root and a quotient in each step.
#[inline(never)]
fn orbit(mut x: f64) -> f64 {
    for _ in 0..5_000 {
        x = 3.97 * x * (1.0 - x);
        x = (x.sqrt() * x.sqrt() + 1.0) / (1.0 + 1.0 / x);
        x = x.clamp(1e-9, 1.0 - 1e-9);
    }
    x
}
