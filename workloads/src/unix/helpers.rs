//! Sockets as the workloads need them.

use crate::framework::{Outcome, prelude::*};
use anyhow::Result;
use nix::sys::socket::{
    self, AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen,
};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};

/// A pair of connected sockets.
pub fn pair(kind: SockType, flags: SockFlag) -> Result<(OwnedFd, OwnedFd)> {
    socket::socketpair(AddressFamily::Unix, kind, None, flags).context("socketpair")
}

/// A new socket.
pub fn new(kind: SockType) -> Result<OwnedFd> {
    socket::socket(AddressFamily::Unix, kind, SockFlag::empty(), None).context("socket")
}

/// An address in the file system.
pub fn path(path: &str) -> Result<UnixAddr> {
    UnixAddr::new(path).context("an address")
}

/// An abstract address that no other process uses.
pub fn abstract_name(name: &str) -> Result<UnixAddr> {
    UnixAddr::new_abstract(format!("{name}-{}", std::process::id()).as_bytes()).context("an address")
}

/// Binds a socket.
pub fn bound(kind: SockType, to: &UnixAddr) -> Result<OwnedFd> {
    let fd = new(kind)?;
    bind(fd.as_raw_fd(), to).context("bind")?;
    Ok(fd)
}

/// A listener.
pub fn listener(kind: SockType, at: &UnixAddr) -> Result<OwnedFd> {
    let fd = bound(kind, at)?;
    listen(&fd, Backlog::new(7)?).context("listen")?;
    Ok(fd)
}

/// Connects a new socket.
pub fn connected(kind: SockType, to: &UnixAddr) -> Result<OwnedFd> {
    let fd = new(kind)?;
    connect(fd.as_raw_fd(), to).context("connect")?;
    Ok(fd)
}

/// Accepts a connection.
pub fn accepted(listener: &OwnedFd) -> Result<OwnedFd> {
    let fd = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).context("accept")?;
    // SAFETY: the descriptor is new.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a message.
pub fn send(fd: &impl AsRawFd, bytes: &[u8]) -> Outcome {
    let sent = socket::send(fd.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).context("send")?;
    expect_eq("bytes sent", sent, bytes.len())
}

/// Sends a datagram.
pub fn send_to(fd: &impl AsRawFd, bytes: &[u8], to: &UnixAddr) -> Outcome {
    let sent = socket::sendto(fd.as_raw_fd(), bytes, to, MsgFlags::MSG_NOSIGNAL).context("sendto")?;
    expect_eq("bytes sent", sent, bytes.len())
}

/// Receives a message without waiting.
pub fn receive(fd: &impl AsRawFd) -> Result<Vec<u8>> {
    let mut buf = vec![0; 1 << 20];
    let got = socket::recv(fd.as_raw_fd(), &mut buf, MsgFlags::MSG_DONTWAIT).context("recv")?;
    buf.truncate(got);
    Ok(buf)
}

/// Receives a datagram and its sender's address without waiting.
pub fn receive_from(fd: &impl AsRawFd) -> Result<(Vec<u8>, Option<UnixAddr>)> {
    let mut buf = vec![0u8; 1 << 16];
    // SAFETY: zeros are a valid address.
    let mut from: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&from) as libc::socklen_t;
    // SAFETY: buffer and address are live and as long as they say.
    let got = sys::check("recvfrom", unsafe {
        let (at, room) = (buf.as_mut_ptr().cast(), buf.len());
        libc::recvfrom(fd.as_raw_fd(), at, room, libc::MSG_DONTWAIT, (&raw mut from).cast(), &mut len)
    })?;
    buf.truncate(got as usize);
    let named = (len as usize).saturating_sub(std::mem::offset_of!(libc::sockaddr_un, sun_path));
    let name: Vec<u8> = from.sun_path[..named].iter().map(|byte| *byte as u8).collect();
    let from = match name.split_first() {
        None => None,
        Some((0, name)) => Some(UnixAddr::new_abstract(name).context("an abstract name")?),
        Some(_) => {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            Some(UnixAddr::new(&name[..end]).context("a path")?)
        }
    };
    Ok((buf, from))
}

/// That there is nothing to receive.
pub fn nothing_left(what: &str, fd: &impl AsRawFd) -> Outcome {
    expect_eq(what, fd::errno("recv", receive(fd))?, libc::EAGAIN)
}

/// The name of a socket, or of its peer.
pub fn names(fd: &impl AsRawFd) -> (Option<UnixAddr>, Option<UnixAddr>) {
    (socket::getsockname(fd.as_raw_fd()).ok(), socket::getpeername(fd.as_raw_fd()).ok())
}
