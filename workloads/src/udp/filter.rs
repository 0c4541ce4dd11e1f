//! A filter lets through what it did, and what came before it is still there.

use super::helpers::{expect_empty, expect_next, local, name, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a UDP socket with a locked classic filter, and a datagram that came before it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// The filter sees the UDP header first.
const HEADER: u32 = 8;

fn run(cx: &mut Ctx) -> Outcome {
    let (from, to) = (local()?, local()?);
    let (sender, at) = (name(&from)?, name(&to)?);
    send(&from, b"x earlier", at)?;
    let code = option::filter_against(b'x', HEADER);
    option::set_filter(&to, &code)?;

    cx.ready()?;

    send(&from, b"x later", at)?;
    send(&from, b"a later", at)?;
    expect_next("what came before the filter", &to, b"x earlier", sender)?;
    expect_next("what the filter lets through", &to, b"a later", sender)?;
    expect_empty(&to)?;
    option::expect_filter(&to, &code)
}
