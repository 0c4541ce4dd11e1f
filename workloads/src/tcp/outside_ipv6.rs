//! The same as `tcp/outside`, over IPv6.

use super::outside::play;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection to a process outside, over IPv6",
    needs: &[Need::Root],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    play(cx, "::1")
}
