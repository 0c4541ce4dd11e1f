//! Two sockets on one port, each with a queue of its own.

use super::helpers::{local, name, send, take, unbound};
use crate::framework::prelude::*;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "sockets that share a UDP port keep each its own queue",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const SENDERS: u8 = 20;

fn run(cx: &mut Ctx) -> Outcome {
    let one = sharing(0)?;
    let at = name(&one)?;
    let other = sharing(at.port())?;
    let senders = (0..SENDERS).map(|_| local()).collect::<anyhow::Result<Vec<_>>>()?;
    // A sender's datagrams always go the same way: find out which, and send again.
    let send_all = || (0..).zip(&senders).try_for_each(|(number, sender)| send(sender, &[number], at));
    send_all()?;
    let ways = (drain(&one)?, drain(&other)?);
    expect_eq("datagrams", ways.0.len() + ways.1.len(), usize::from(SENDERS))?;
    send_all()?;

    cx.ready()?;

    expect_eq("addresses", (name(&one)?, name(&other)?), (at, at))?;
    let shared = |socket| option::get_int(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT);
    expect_eq("SO_REUSEPORT", (shared(&one)?, shared(&other)?), (1, 1))?;
    expect_eq("both queues", (drain(&one)?, drain(&other)?), ways)?;
    let third = sharing(at.port())?;
    expect_eq("address of a third one", name(&third)?, at)
}

/// A socket that shares its port with others.
fn sharing(port: u16) -> anyhow::Result<UdpSocket> {
    let socket = unbound(libc::AF_INET)?;
    option::set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    // SAFETY: all zeros is an address.
    let mut own: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    own.sin_family = libc::AF_INET as libc::sa_family_t;
    own.sin_addr.s_addr = u32::from(Ipv4Addr::LOCALHOST).to_be();
    own.sin_port = port.to_be();
    let len = size_of_val(&own) as libc::socklen_t;
    // SAFETY: the address lives through the call and is as long as it says.
    sys::check("bind", unsafe { libc::bind(socket.as_raw_fd(), (&raw const own).cast(), len) })?;
    Ok(socket)
}

/// Takes everything out of a queue.
fn drain(socket: &UdpSocket) -> anyhow::Result<Vec<(Vec<u8>, SocketAddr)>> {
    let mut all = Vec::new();
    loop {
        match take(socket) {
            Err(err) if sys::errno_in(&err) == Some(libc::EAGAIN) => return Ok(all),
            got => all.push(got?),
        }
    }
}
