//! A checkpoint meets threads that are being created or are exiting.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads that are made and end all the time",
    needs: &[],
    active: true,
    statik: false,
    run,
};

static ROUNDS: Rounds = Rounds::new();

fn run(cx: &mut Ctx) -> Outcome {
    let mut makers = Vec::new();
    for _ in 0..2 {
        makers.push(thread::spawn(|| {
            let mut number = 0u64;
            while ROUNDS.wanted() {
                let value = number;
                let made = std::thread::Builder::new().stack_size(32 << 10).spawn(move || value * 3);
                let result =
                    made.context("make a thread")?.join().map_err(|_| anyhow!("a thread panicked"))?;
                expect_eq("result of a short thread", result, number * 3)?;
                number += 1;
                ROUNDS.bump();
            }
            Ok(())
        })?);
    }
    ROUNDS.cross(cx, 6, 6)?;
    makers.into_iter().try_for_each(Thread::join)
}
