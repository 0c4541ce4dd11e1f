//! A process stopped in connect(2) before its connection came about.

use super::helpers::{listener, receive, send};
use crate::framework::prelude::*;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "connect(2) of a stopped process, whose connection came about since: it succeeds",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

const LEN: usize = 3000;

fn run(cx: &mut Ctx) -> Outcome {
    let listener = listener("127.0.0.1")?;
    // One connection waits; requests for more are dropped.
    // SAFETY: numbers only.
    sys::check("listen", unsafe { libc::listen(listener.as_raw_fd(), 0) })?;
    let first = TcpStream::connect(listener.local_addr()?).context("connect")?;
    let seed = cx.seed;
    let client = child::fork("client", || {
        let stream = connect(&listener)?;
        send(&stream, &pattern::bytes(LEN, seed))?;
        pattern::verify("the answer", &receive(&stream, LEN)?, !seed)
    })?;
    client.wait_blocked_in(libc::SYS_connect)?;
    client.kill(libc::SIGSTOP)?;
    client.wait_stopped()?;
    drop((listener.accept().context("accept the first")?, first));
    // The request is repeated after a second.
    let (server, _) = listener.accept().context("accept the client")?;

    cx.ready()?;

    client.kill(libc::SIGCONT)?;
    pattern::verify("what was sent", &receive(&server, LEN)?, seed)?;
    send(&server, &pattern::bytes(LEN, !seed))?;
    client.join()
}

/// As the standard library does; but that does not mind when the connection is there already.
fn connect(listener: &TcpListener) -> anyhow::Result<TcpStream> {
    let SocketAddr::V4(to) = listener.local_addr()? else { anyhow::bail!("not IPv4") };
    // SAFETY: numbers only; the descriptor is new and has no other owner.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        OwnedFd::from_raw_fd(sys::check("socket", fd)?)
    };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: Ipv4Addr::to_bits(*to.ip()).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: the kernel reads the address.
    sys::check("connect", unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), 16) })?;
    Ok(TcpStream::from(socket))
}
