//! A ping socket, whose requests have an identifier that it keeps.

use super::helpers::{name, receive, socket};
use crate::framework::prelude::*;
use std::net::{Ipv4Addr, UdpSocket};

pub const WORKLOAD: Workload = Workload {
    purpose: "a ping socket keeps its identifier, and gets answers to its requests",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let socket = match socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP) {
        Err(err) if sys::errno_in(&err) == Some(libc::EACCES) => {
            return skip("net.ipv4.ping_group_range allows no ping sockets");
        }
        socket => UdpSocket::from(socket?),
    };
    let first = ping(&socket, 1)?;
    let at = name(&socket)?;
    expect_eq("identifier", first, at.port())?;

    cx.ready()?;

    expect_eq("address", name(&socket)?, at)?;
    expect_eq("identifier", ping(&socket, 2)?, at.port())
}

/// Sends an echo request over loopback; the identifier in the answer.
fn ping(socket: &UdpSocket, number: u8) -> anyhow::Result<u16> {
    let sent = socket.send_to(&[8, 0, 0, 0, 0, 0, 0, number], (Ipv4Addr::LOCALHOST, 0));
    expect_eq("bytes sent", sent.context("send a request")?, 8)?;
    let (answer, _) = receive(socket, 0)?;
    expect_eq("length of the answer", answer.len(), 8)?;
    expect_eq("type and number of the answer", (answer[0], answer[7]), (0, number))?;
    Ok(u16::from_be_bytes([answer[4], answer[5]]))
}
