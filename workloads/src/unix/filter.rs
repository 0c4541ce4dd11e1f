//! A filter lets through what it did, and what came before it is still there.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "a datagram socket with a locked classic filter, and a message that came before it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = helpers::pair(SockType::Datagram, SockFlag::empty())?;
    helpers::send(&one, b"x earlier")?;
    let code = option::filter_against(b'x', 0);
    option::set_filter(&other, &code)?;

    cx.ready()?;

    helpers::send(&one, b"x later")?;
    helpers::send(&one, b"a later")?;
    expect_bytes("what came before the filter", &helpers::receive(&other)?, b"x earlier")?;
    expect_bytes("what the filter lets through", &helpers::receive(&other)?, b"a later")?;
    helpers::nothing_left("the receiver", &other)?;
    option::expect_filter(&other, &code)
}
