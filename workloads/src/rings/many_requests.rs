//! A ring that has done very many requests.

use super::helpers::{NOP, Request, Ring};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an io_uring that has done a million requests",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const BATCH: u32 = 128;

fn run(cx: &mut Ctx) -> Outcome {
    let mut ring = Ring::new(BATCH)?;
    let batch = |ring: &mut Ring| -> Outcome {
        for number in 0..BATCH {
            ring.queue(Request { opcode: NOP, word: number.into(), ..Request::default() })?;
        }
        expect_eq("submitted", ring.enter(BATCH, BATCH)?, BATCH)?;
        for number in 0..BATCH {
            expect_eq("completion", ring.take(), Some((number.into(), 0)))?;
        }
        Ok(())
    };
    let batches = 1_000_000 / BATCH;
    (0..batches).try_for_each(|_| batch(&mut ring))?;

    cx.ready()?;

    expect_eq("done", ring.done(), (batches * BATCH, batches * BATCH))?;
    (0..10).try_for_each(|_| batch(&mut ring))
}
