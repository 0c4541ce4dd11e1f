//! Connected sockets of which one direction each is shut down.

use super::helpers::{expect_next, local, name, send};
use crate::framework::prelude::*;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "halves of UDP sockets stay shut down, and what came before is received",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (mute, deaf, sender) = (local()?, local()?, local()?);
    mute.connect(name(&sender)?).context("connect")?;
    deaf.connect(name(&sender)?).context("connect")?;
    send(&sender, b"before", name(&deaf)?)?;
    shut_down(&mute, libc::SHUT_WR)?;
    shut_down(&deaf, libc::SHUT_RD)?;

    cx.ready()?;

    let sent = mute.send(b"x").map_err(|err| err.raw_os_error());
    expect_eq("sending", sent, Err(Some(libc::EPIPE)))?;
    send(&sender, b"still open", name(&mute)?)?;
    expect_next("what comes the other way", &mute, b"still open", name(&sender)?)?;
    expect_next("what came before", &deaf, b"before", name(&sender)?)?;
    let told = fd::ready_for(&deaf, libc::POLLRDHUP)?;
    expect_eq("what poll tells", told, libc::POLLRDHUP)?;
    expect_eq("bytes sent", deaf.send(b"x").context("send from the other")?, 1)
}

fn shut_down(socket: &UdpSocket, how: i32) -> Outcome {
    // SAFETY: numbers only.
    sys::check("shutdown", unsafe { libc::shutdown(socket.as_raw_fd(), how) })?;
    Ok(())
}
