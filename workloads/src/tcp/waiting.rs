//! Connections that wait to be accepted.

use super::helpers::{listener, talk};
use crate::framework::prelude::*;
use std::net::TcpStream;

pub const WORKLOAD: Workload = Workload {
    purpose: "TCP connections that a listener has not accepted yet, and their addresses",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let listener = listener("127.0.0.1")?;
    let connect = || TcpStream::connect(listener.local_addr()?).context("connect");
    let clients = [connect()?, connect()?, connect()?];
    let addresses = || -> anyhow::Result<Vec<_>> {
        clients.iter().map(|client| client.local_addr().context("getsockname")).collect()
    };
    let before = addresses()?;
    let acceptable = || fd::ready_for(&listener, libc::POLLIN);
    sync::wait_until("the connections to arrive", || Ok(acceptable()? == libc::POLLIN))?;

    cx.ready()?;

    expect_eq("addresses", addresses()?, before)?;
    let mut left: Vec<_> = clients.iter().collect();
    for _ in 0..3 {
        let (accepted, from) = listener.accept().context("accept")?;
        let client = left.iter().position(|client| client.local_addr().is_ok_and(|own| own == from));
        let client = left.swap_remove(client.with_context(|| format!("{from} connected, or did so twice"))?);
        talk((client, &accepted), cx.seed)?;
    }
    expect_eq("more connections", acceptable()?, 0)
}
