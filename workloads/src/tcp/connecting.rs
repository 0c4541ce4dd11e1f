//! Attempts to connect that a listener does not answer, as it has no room.

use super::helpers::{listener, receive, send, state, talk};
use crate::framework::prelude::*;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "TCP sockets whose attempt to connect was not answered yet, also while connect(2) waits",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

const SYN_SENT: i32 = 2;

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    // One for each: of two attempts at a time, the kernel may answer the second without making
    // room for it (tcp_syncookies).
    let ((one, first), (other, second)) = (full_listener()?, full_listener()?);
    let to = other.local_addr()?;
    let asking = begin_to_connect(one.local_addr()?)?;
    let child = fork("one that waits in connect(2)", || {
        shared.cell(0).set(1);
        let stream = TcpStream::connect(to).context("connect")?;
        expect_eq("what it is told", &receive(&stream, 7)?[..], b"welcome")
    })?;
    sync::wait_until("the child to begin", || Ok(shared.cell(0).get() == 1))?;
    child.wait_blocked_in(libc::SYS_connect)?;
    expect_eq("state", state(&asking)?, SYN_SENT)?;

    cx.ready()?;

    expect_eq("state", state(&asking)?, SYN_SENT)?;
    for (listener, client) in [(&one, &first), (&other, &second)] {
        let (accepted, from) = listener.accept().context("accept")?;
        expect_eq("who waited", from, client.local_addr()?)?;
        talk((client, &accepted), cx.seed)?;
    }
    let (accepted, from) = one.accept().context("accept")?;
    expect_eq("who was connecting", from, asking.local_addr()?)?;
    sync::wait_until("the answer", || Ok(state(&asking)? == 1))?;
    let error = option::get(&asking, libc::SOL_SOCKET, libc::SO_ERROR)?;
    expect(error.iter().all(|byte| *byte == 0), || "an error".into())?;
    asking.set_nonblocking(false)?;
    talk((&asking, &accepted), cx.seed)?;
    send(&other.accept().context("accept")?.0, b"welcome")?;
    child.join()
}

/// A listener with room for the connection that waits there, and no other.
fn full_listener() -> anyhow::Result<(TcpListener, TcpStream)> {
    let listener = listener("127.0.0.1")?;
    // SAFETY: listen takes numbers only.
    sys::check("listen", unsafe { libc::listen(listener.as_raw_fd(), 0) })?;
    let client = TcpStream::connect(listener.local_addr()?).context("connect")?;
    Ok((listener, client))
}

/// A socket that connects without waiting.
fn begin_to_connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let SocketAddr::V4(to) = to else { bail!("not IPv4") };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes numbers only; the descriptor is new.
    let fd = unsafe { OwnedFd::from_raw_fd(sys::check("socket", libc::socket(libc::AF_INET, kind, 0))?) };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
        sin_zero: [0; 8],
    };
    let len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the address is live, and as long as it says.
    let connected = unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), len) };
    let error = std::io::Error::last_os_error().raw_os_error();
    expect_eq("connect", (connected, error), (-1, Some(libc::EINPROGRESS)))?;
    Ok(fd.into())
}
