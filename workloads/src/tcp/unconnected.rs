//! Sockets that are not connected: new ones, and one that is bound.

use super::helpers::{pair_of, talk};
use crate::framework::prelude::*;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "new and bound TCP sockets: address, blocking mode, that they can be used",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn socket(flags: i32) -> anyhow::Result<OwnedFd> {
    // SAFETY: numbers only; the descriptor is new and has no other owner.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | flags, 0);
        Ok(OwnedFd::from_raw_fd(sys::check("socket", fd)?))
    }
}

/// bind(2) or connect(2).
type Call = unsafe extern "C" fn(i32, *const libc::sockaddr, u32) -> i32;

fn call(what: &'static str, call: Call, fd: &OwnedFd, port: u16) -> Outcome {
    let localhost = libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: localhost,
        sin_zero: [0; 8],
    };
    // SAFETY: the kernel reads the address.
    sys::check(what, unsafe { call(fd.as_raw_fd(), (&raw const address).cast(), 16) })?;
    Ok(())
}

fn name(fd: &OwnedFd) -> anyhow::Result<SocketAddr> {
    TcpStream::from(fd::dup(fd)?).local_addr().context("getsockname")
}

fn run(cx: &mut Ctx) -> Outcome {
    let (new, bound, listens) = (socket(libc::SOCK_NONBLOCK)?, socket(0)?, socket(0)?);
    option::set_int(&new, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    call("bind", libc::bind, &bound, 0)?;
    call("bind", libc::bind, &listens, 0)?;
    let before = (name(&new)?, name(&bound)?, name(&listens)?);

    cx.ready()?;

    expect_eq("addresses", (name(&new)?, name(&bound)?, name(&listens)?), before)?;
    expect_eq("SO_KEEPALIVE", option::get_int(&new, libc::SOL_SOCKET, libc::SO_KEEPALIVE)?, 1)?;
    expect_eq("SO_REUSEADDR", option::get_int(&bound, libc::SOL_SOCKET, libc::SO_REUSEADDR)?, 0)?;
    expect(fd::flags(&new)? & libc::O_NONBLOCK != 0, || "the new one blocks".into())?;
    // SAFETY: numbers only.
    sys::check("listen", unsafe { libc::listen(listens.as_raw_fd(), 4) })?;
    let listener = TcpListener::from(listens);
    call("connect", libc::connect, &bound, before.2.port())?;
    let (accepted, from) = listener.accept()?;
    expect_eq("the client's address", from, before.1)?;
    talk((&TcpStream::from(bound), &accepted), cx.seed)?;
    let (one, other) = pair_of(&listener)?;
    talk((&one, &other), cx.seed)
}
