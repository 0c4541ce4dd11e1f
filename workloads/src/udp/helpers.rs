//! UDP sockets by std::net, options by getsockopt(2) and setsockopt(2), and netlink sockets.

use crate::framework::prelude::*;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};

/// A socket bound to `ip` and any port.
pub fn bound(ip: impl Into<IpAddr>) -> anyhow::Result<UdpSocket> {
    let ip = ip.into();
    UdpSocket::bind((ip, 0)).with_context(|| format!("bind a UDP socket to {ip}"))
}

/// A socket bound to 127.0.0.1.
pub fn local() -> anyhow::Result<UdpSocket> {
    bound(Ipv4Addr::LOCALHOST)
}

/// A socket bound to ::1; skips where there is no IPv6.
pub fn local_ipv6() -> anyhow::Result<UdpSocket> {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(socket) => Ok(socket),
        Err(err) => skip(format!("no IPv6 on loopback: {err}")),
    }
}

/// A new socket, not bound.
pub fn unbound(family: i32) -> anyhow::Result<UdpSocket> {
    Ok(UdpSocket::from(socket(family, libc::SOCK_DGRAM, 0)?))
}

/// socket(2).
pub fn socket(family: i32, kind: i32, protocol: i32) -> anyhow::Result<OwnedFd> {
    // SAFETY: numbers only; the descriptor is new and has no other owner.
    let fd = sys::check("socket", unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What a socket is bound to.
pub fn name(socket: &UdpSocket) -> anyhow::Result<SocketAddr> {
    socket.local_addr().context("getsockname")
}

/// Sends a datagram.
pub fn send(from: &UdpSocket, data: &[u8], to: SocketAddr) -> Outcome {
    let sent = from.send_to(data, to).with_context(|| format!("send {} bytes to {to}", data.len()))?;
    expect_eq("bytes sent", sent, data.len())
}

/// Takes the next datagram, which must be there; its contents and sender.
pub fn take(socket: &UdpSocket) -> anyhow::Result<(Vec<u8>, SocketAddr)> {
    receive(socket, libc::MSG_DONTWAIT)
}

/// recvfrom(2) with flags, and a buffer that is long enough.
pub fn receive(socket: &UdpSocket, flags: i32) -> anyhow::Result<(Vec<u8>, SocketAddr)> {
    let mut buf = vec![0u8; 1 << 16];
    // SAFETY: all zeros is an address of no family.
    let mut from: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&from) as libc::socklen_t;
    // SAFETY: both buffers live through the call, and their lengths are right.
    let got = sys::check("recvfrom", unsafe {
        let from = (&raw mut from).cast();
        libc::recvfrom(socket.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), flags, from, &mut len)
    })?;
    buf.truncate(got as usize);
    Ok((buf, address(&from)?))
}

fn address(from: &libc::sockaddr_storage) -> anyhow::Result<SocketAddr> {
    match i32::from(from.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is one, and the storage is long enough for any.
            let from = unsafe { &*(&raw const *from).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr));
            Ok((ip, u16::from_be(from.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let from = unsafe { &*(&raw const *from).cast::<libc::sockaddr_in6>() };
            Ok((Ipv6Addr::from(from.sin6_addr.s6_addr), u16::from_be(from.sin6_port)).into())
        }
        family => bail!("a sender of family {family}"),
    }
}

/// The next datagram must be this one.
pub fn expect_next(what: &str, socket: &UdpSocket, data: &[u8], from: SocketAddr) -> Outcome {
    let (got, sender) = take(socket).with_context(|| what.to_owned())?;
    expect_bytes(what, &got, data)?;
    expect_eq(&format!("sender of {what}"), sender, from)
}

/// There must be no datagram.
pub fn expect_empty(socket: &UdpSocket) -> Outcome {
    match take(socket) {
        Ok((got, from)) => bail!("a datagram of {} bytes from {from}, where there was none", got.len()),
        Err(err) => expect_eq("errno", sys::errno_in(&err), Some(libc::EAGAIN)),
    }
}

/// A datagram goes to `to`, whose address is `at`, and arrives.
pub fn expect_delivery(from: &UdpSocket, to: &UdpSocket, at: SocketAddr) -> Outcome {
    send(from, b"still there?", at)?;
    to.set_read_timeout(Some(sync::time_left())).context("set a time limit")?;
    let mut buf = [0; 100];
    let (got, sender) = match to.recv_from(&mut buf) {
        Err(err) if err.kind() == ErrorKind::WouldBlock => bail!("no datagram arrives at {at}"),
        got => got.context("recvfrom")?,
    };
    expect_bytes("a new datagram", &buf[..got], b"still there?")?;
    expect_eq("port of its sender", sender.port(), name(from)?.port())
}

/// Binds a netlink socket; port 0 is any.
pub fn bind_netlink(socket: &OwnedFd, port: u32) -> Outcome {
    // SAFETY: all zeros is an address.
    let mut own: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    own.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    own.nl_pid = port;
    let len = size_of_val(&own) as libc::socklen_t;
    // SAFETY: the address lives through the call and is as long as it says.
    sys::check("bind", unsafe { libc::bind(socket.as_raw_fd(), (&raw const own).cast(), len) })?;
    Ok(())
}

/// Port of a netlink socket, and the mask of the first groups that it is in.
pub fn netlink_name(socket: &OwnedFd) -> anyhow::Result<(u32, u32)> {
    // SAFETY: all zeros is an address.
    let mut own: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&own) as libc::socklen_t;
    // SAFETY: the address lives through the call and is as long as it says.
    sys::check("getsockname", unsafe {
        libc::getsockname(socket.as_raw_fd(), (&raw mut own).cast(), &mut len)
    })?;
    Ok((own.nl_pid, own.nl_groups))
}

/// Asks for all interfaces (`RTM_GETLINK`, rtnetlink(7)); the names in the answer.
pub fn links(socket: &OwnedFd) -> anyhow::Result<Vec<String>> {
    const IFLA_IFNAME: u16 = 3;
    let mut request = 32u32.to_ne_bytes().to_vec();
    request.extend(libc::RTM_GETLINK.to_ne_bytes());
    request.extend(((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    request.resize(32, 0);
    fd::write_all(socket, &request)?;
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).map_or(0, |four| u32::from_ne_bytes(four.try_into().expect("four bytes")))
    };
    let half =
        |bytes: &[u8], at: usize| word(bytes, at).to_ne_bytes()[..2].try_into().map_or(0, u16::from_ne_bytes);
    let mut names = Vec::new();
    loop {
        let got = fd::read_some(socket, 1 << 16)?;
        let mut rest = &got[..];
        while rest.len() >= 16 {
            let (message, after) = rest.split_at((word(rest, 0) as usize).clamp(16, rest.len()));
            rest = after.get(message.len().next_multiple_of(4) - message.len()..).unwrap_or_default();
            match half(message, 4) {
                // NLMSG_DONE and NLMSG_ERROR
                3 => return Ok(names),
                2 => bail!("an error for an answer: {}", word(message, 16) as i32),
                _ => {}
            }
            let mut attributes = message.get(32..).unwrap_or_default();
            while attributes.len() >= 4 {
                let len = usize::from(half(attributes, 0)).clamp(4, attributes.len());
                if half(attributes, 2) == IFLA_IFNAME {
                    let name = attributes[4..len].strip_suffix(&[0]).unwrap_or_default();
                    names.push(String::from_utf8_lossy(name).into_owned());
                }
                attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}
