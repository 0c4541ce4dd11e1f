//! Two sockets connected to each other, and one to a port where nobody is.

use super::helpers::{expect_empty, expect_next, local, name, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "connected UDP sockets send to their peer and receive from nobody else",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other, far) = (local()?, local()?, local()?);
    one.connect(name(&other)?).context("connect")?;
    other.connect(name(&one)?).context("connect back")?;
    let gone = name(&local()?)?;
    far.connect(gone).context("connect to nobody")?;
    one.send(b"on its way").context("send")?;

    cx.ready()?;

    expect_next("what was on its way", &other, b"on its way", name(&one)?)?;
    expect_eq("peer", one.peer_addr().context("getpeername")?, name(&other)?)?;
    expect_eq("peer of the other", other.peer_addr().context("getpeername")?, name(&one)?)?;
    expect_eq("peer that is nobody", far.peer_addr().context("getpeername")?, gone)?;
    let stranger = local()?;
    send(&stranger, b"not for you", name(&one)?)?;
    other.send(b"back").context("send back")?;
    expect_next("what comes back", &one, b"back", name(&other)?)?;
    expect_empty(&one)
}
