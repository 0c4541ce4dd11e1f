//! Two processes pass a counter back and forth through two pipes as fast as they can.

use crate::framework::ping_pong;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes in motion: a counter through two pipes, never skipping",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (there, to) = fd::pipe(0)?;
    let (back, from) = fd::pipe(0)?;
    ping_pong::play(cx, (&to, &back), (&from, &there))
}
