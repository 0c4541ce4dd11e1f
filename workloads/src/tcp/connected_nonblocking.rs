//! A connection that was made without blocking, which nobody has asked about yet.

use super::helpers::{listener, talk};
use crate::framework::prelude::*;
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection made without blocking: writable, without an error",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let listener = listener("127.0.0.1")?;
    // SAFETY: numbers only; the descriptor is new and has no other owner.
    let client = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
        OwnedFd::from_raw_fd(sys::check("socket", fd)?)
    };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: listener.local_addr()?.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    // SAFETY: the kernel reads the address.
    let begun =
        sys::check("connect", unsafe { libc::connect(client.as_raw_fd(), (&raw const address).cast(), 16) });
    expect_eq("connect", fd::errno("connect", begun)?, libc::EINPROGRESS)?;
    let (server, _) = listener.accept()?;
    sync::wait_until("the connection", || Ok(fd::ready_for(&client, libc::POLLOUT)? == libc::POLLOUT))?;

    cx.ready()?;

    expect_eq("ready", fd::ready_for(&client, libc::POLLOUT | libc::POLLIN)?, libc::POLLOUT)?;
    expect_eq("error", option::get_int(&client, libc::SOL_SOCKET, libc::SO_ERROR)?, 0)?;
    expect(fd::flags(&client)? & libc::O_NONBLOCK != 0, || "it blocks".into())?;
    let client = TcpStream::from(client);
    client.set_nonblocking(false)?;
    talk((&client, &server), cx.seed)
}
