//! Sockets whose peer is closed: what it had sent, then the end, or ECONNRESET if it had not
//! received everything.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "what a closed peer had sent, and whether it had received everything (ECONNRESET)",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (orderly, peer) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    helpers::send(&peer, b"last words")?;
    drop(peer);
    let (reset, peer) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    helpers::send(&reset, b"never received")?;
    drop(peer);
    let at = helpers::path("door")?;
    let listener = helpers::listener(SockType::Stream, &at)?;
    let client = helpers::connected(SockType::Stream, &at)?;
    let served = helpers::accepted(&listener)?;
    helpers::send(&client, b"bye")?;
    drop(client);
    let lonely = helpers::connected(SockType::Stream, &at)?;
    drop(helpers::accepted(&listener)?);
    let names = || [&served, &lonely].map(helpers::names);
    let want = names();

    cx.ready()?;

    expect_eq("names", names(), want)?;
    expect_bytes("last words", &fd::read_some(&orderly, 100)?, b"last words")?;
    expect_bytes("the end", &fd::read_some(&orderly, 100)?, b"")?;
    expect_eq("errno of send", fd::errno("send", helpers::send(&orderly, b"x"))?, libc::EPIPE)?;
    expect_eq("errno of read", fd::errno("read", fd::read_some(&reset, 1))?, libc::ECONNRESET)?;
    expect_bytes("the end after the error", &fd::read_some(&reset, 1)?, b"")?;
    expect_bytes("of a client that is gone", &fd::read_some(&served, 100)?, b"bye")?;
    expect_bytes("its end", &fd::read_some(&served, 100)?, b"")?;
    expect_bytes("the end of a client", &fd::read_some(&lonely, 100)?, b"")
}
