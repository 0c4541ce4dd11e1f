//! A socket that is bound, and nothing else.

use super::helpers::{expect_delivery, local, name};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a UDP socket keeps its address, and receives what is sent there",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let socket = local()?;
    let at = name(&socket)?;

    cx.ready()?;

    expect_eq("address", name(&socket)?, at)?;
    expect_delivery(&local()?, &socket, at)
}
