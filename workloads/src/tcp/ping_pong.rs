//! Two processes pass a counter back and forth through a connection as fast as they can.

use super::helpers::pair;
use crate::framework::ping_pong;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes in motion: a counter through a TCP connection, never skipping",
    needs: &[Need::Root],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (mine, theirs) = pair()?;
    mine.set_nodelay(true)?;
    ping_pong::play(cx, (&mine, &mine), (&theirs, &theirs))
}
