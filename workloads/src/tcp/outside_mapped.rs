//! The same as `tcp/outside`, over IPv4 by IPv6 sockets.

use super::outside::play;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection to a process outside, over IPv4 by IPv6 sockets",
    needs: &[Need::Root],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    play(cx, "::ffff:127.0.0.1")
}
