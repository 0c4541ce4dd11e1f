//! Addresses of internet sockets, and the TCP sockets of the network namespace, as sock_diag(7)
//! shows them.

use crate::error::{Context, Error, Result};
use crate::sys::sock_diag;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The address, in the family of the socket.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// The interface that a link-local address is of; 0 without one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub scope: u32,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Address {
    /// What getsockname(2) and getpeername(2) return.
    pub fn of(address: SocketAddr) -> Address {
        let scope = if let SocketAddr::V6(v6) = address { v6.scope_id() } else { 0 };
        Address { ip: address.ip(), port: address.port(), scope }
    }

    /// As bind(2) and connect(2) take it.
    pub fn to_socket(self) -> SocketAddr {
        match self.ip {
            IpAddr::V4(_) => SocketAddr::new(self.ip, self.port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, 0, self.scope).into(),
        }
    }

    /// Whether it is the one of a socket that is bound to nothing.
    pub fn is_none(self) -> bool {
        self.ip.is_unspecified() && self.port == 0
    }

    /// The same, with an IPv4 address where it is a mapped one.
    pub fn canonical(self) -> Address {
        Address { ip: self.ip.to_canonical(), scope: 0, ..self }
    }

    /// The same, as a socket of this family (`AF_*`) takes it.
    pub fn in_family(self, family: i32) -> Address {
        match self.ip {
            IpAddr::V4(ip) if family == libc::AF_INET6 => Address { ip: ip.to_ipv6_mapped().into(), ..self },
            IpAddr::V6(_) if family == libc::AF_INET => self.canonical(),
            _ => self,
        }
    }

    /// Checks that a socket of this family can have it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(self, family: i32) -> Result<(), String> {
        let fits = if family == libc::AF_INET { self.ip.is_ipv4() } else { self.ip.is_ipv6() };
        if fits { Ok(()) } else { Err(format!("{self}: an address of another family")) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_socket().fmt(f)
    }
}

/// Both ends of a connection: the own one and the other one.
pub type Ends = (Address, Address);

/// A TCP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSocket {
    /// `AF_INET` or `AF_INET6`
    pub family: u8,
    /// `TCP_*`, include/net/tcp_states.h.
    pub state: u8,
    /// What it is bound to, IPv4 addresses as such.
    pub ends: Ends,
    /// Of one that listens: how many connections wait to be accepted, and how many may.
    pub queues: (u32, u32),
    /// Inode number; 0 for one that no process has, or that was not accepted yet.
    pub ino: u32,
    /// Halves that are shut down: `RCV_SHUTDOWN` 1, `SEND_SHUTDOWN` 2.
    pub shutdown: u8,
    /// Whether it has keys (`TCP_MD5SIG`); seen with CAP_NET_ADMIN only.
    pub has_keys: bool,
    /// `struct inet_diag_sockid`, by which the kernel finds it.
    id: [u8; uapi::ID],
}

/// All of them.
#[derive(Debug, Default)]
pub struct TcpSockets {
    /// By inode number, those that have one.
    pub by_ino: HashMap<u32, TcpSocket>,
    /// Inode numbers by both ends, of those that are connected.
    by_ends: HashMap<Ends, u32>,
    /// Those without an inode.
    pub others: Vec<TcpSocket>,
}

/// include/uapi/linux/inet_diag.h
mod uapi {
    /// `struct inet_diag_req_v2`
    pub const REQUEST: usize = 56;
    /// `struct inet_diag_msg`
    pub const ANSWER: usize = 72;
    /// `struct inet_diag_sockid`: ports, addresses, interface, cookie.
    pub const ID: usize = 48;
    /// `INET_DIAG_INFO`: what else is told comes with it.
    pub const SHOW: u8 = 1 << 1;
    pub const SHUTDOWN: u16 = 8;
    pub const MD5SIG: u16 = 18;
    pub const LISTEN: u8 = 10;
    /// `TCP_FIN_WAIT1`, `_FIN_WAIT2`, `_TIME_WAIT`, `_LAST_ACK` and `_CLOSING`.
    pub const LEFT: [u8; 5] = [4, 5, 6, 9, 11];
}

fn request(family: i32) -> [u8; uapi::REQUEST] {
    let mut request = [0; uapi::REQUEST];
    request[0] = family as u8;
    request[1] = libc::IPPROTO_TCP as u8;
    request[2] = uapi::SHOW;
    // Those that are bound only (bit 13) are asked for by their own descriptors.
    request[4..8].copy_from_slice(&0xfffu32.to_ne_bytes());
    request
}

impl TcpSockets {
    /// Asks for all of them that are connected, connecting, closing or listening.
    ///
    /// # Errors
    /// ENOENT without `CONFIG_INET_TCP_DIAG`.
    pub fn read() -> Result<TcpSockets> {
        let mut all = TcpSockets::default();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let dump = sock_diag::dump(&request(family), uapi::ANSWER, |entry| all.add(&entry));
            match dump {
                // Without IPv6 there are none.
                Err(err) if family == libc::AF_INET6 && err.raw_os_error() == Some(libc::ENOENT) => {}
                dump => dump.context(|| "list TCP sockets (needs CONFIG_INET_TCP_DIAG)")?,
            }
        }
        Ok(all)
    }

    fn add(&mut self, entry: &sock_diag::Entry<'_>) {
        let id: [u8; uapi::ID] = entry.fixed[4..4 + uapi::ID].try_into().expect("the length of it");
        let family = entry.fixed[0];
        let scope = u32::from_ne_bytes(id[36..40].try_into().expect("four bytes"));
        let address = |port: usize, at: usize| {
            let port = u16::from_be_bytes([id[port], id[port + 1]]);
            let four: [u8; 4] = id[at..at + 4].try_into().expect("four bytes");
            let sixteen: [u8; 16] = id[at..at + 16].try_into().expect("sixteen bytes");
            let ip = if i32::from(family) == libc::AF_INET {
                IpAddr::from(Ipv4Addr::from(four))
            } else {
                IpAddr::from(Ipv6Addr::from(sixteen))
            };
            Address { ip, port, scope }.canonical()
        };
        let socket = TcpSocket {
            family,
            state: entry.fixed[1],
            ends: (address(0, 4), address(2, 20)),
            queues: (entry.word(56), entry.word(60)),
            ino: entry.word(68),
            shutdown: entry.attribute(uapi::SHUTDOWN).and_then(|b| b.first()).copied().unwrap_or(0),
            has_keys: entry.attribute(uapi::MD5SIG).is_some(),
            id,
        };
        if socket.ino == 0 {
            self.others.push(socket);
            return;
        }
        if socket.state != uapi::LISTEN {
            self.by_ends.insert(socket.ends, socket.ino);
        }
        self.by_ino.insert(socket.ino, socket);
    }

    /// The socket that a connection leads to, by the ends of the own one.
    pub fn peer(&self, (own, other): Ends) -> Option<u32> {
        self.by_ends.get(&(other, own)).copied()
    }

    /// The connections that wait to be accepted at a listener, each by the inode number of the
    /// socket that has connected, if there is one.
    pub fn waiting_at<'a>(&'a self, listener: &'a TcpSocket) -> impl Iterator<Item = Option<u32>> + 'a {
        let waiting = self.others.iter().filter(|socket| !is_left(socket) && accepts(listener, socket));
        waiting.map(|socket| self.peer(socket.ends))
    }

    /// The listener that has not accepted a connection yet, by inode number, if there is only one
    /// that may be it.
    pub fn listener(&self, waiting: &TcpSocket) -> Option<u32> {
        let mut found = self.by_ino.values().filter(|listener| accepts(listener, waiting));
        let exact = |listener: &&TcpSocket| listener.ends.0 == waiting.ends.0;
        let first = found.clone().find(exact).or_else(|| found.next())?;
        Some(first.ino)
    }

    /// The one with these ends that no process has.
    pub fn without_process(&self, (own, other): Ends) -> Option<&TcpSocket> {
        self.others.iter().find(|socket| socket.ends == (other, own))
    }
}

/// Whether a socket is a listener to which a connection with this end may have come.
fn accepts(listener: &TcpSocket, socket: &TcpSocket) -> bool {
    let (at, to) = (listener.ends.0, socket.ends.0);
    let matches = at.ip == to.ip || (at.ip.is_unspecified() && (at.ip.is_ipv6() || to.ip.is_ipv4()));
    listener.state == uapi::LISTEN && at.port == to.port && matches
}

/// Closes sockets that no process has and that are in the way of `is_in_the_way`: those that wait
/// for late packets of a connection that was closed, and the other end of that.
///
/// # Errors
/// EOPNOTSUPP without `CONFIG_INET_DIAG_DESTROY`.
pub fn clear(is_in_the_way: impl Fn(&TcpSocket) -> bool) -> Result<usize> {
    let all = TcpSockets::read()?;
    let mut cleared = 0;
    for socket in all.others.iter().filter(|socket| is_in_the_way(socket)) {
        let mut request = request(socket.family.into());
        request[8..].copy_from_slice(&socket.id);
        match sock_diag::destroy(&request) {
            // It has gone by itself.
            Err(err) if err.raw_os_error() == Some(libc::ENOENT) => {}
            destroyed => destroyed.context(|| {
                format!("remove what is left of the connection {} to {}", socket.ends.0, socket.ends.1)
            })?,
        }
        cleared += 1;
    }
    Ok(cleared)
}

/// Whether a socket that no process has is what is left of a connection that was closed
/// (`TCP_TIME_WAIT`, `TCP_FIN_WAIT1` …), and not one that is to be accepted.
pub fn is_left(socket: &TcpSocket) -> bool {
    uapi::LEFT.contains(&socket.state)
}

/// Says that another socket is in the way.
pub fn in_use(address: Address, who: &str) -> Error {
    Error::Conflict(format!("{address}: the address is in use{who}; end the program that uses it"))
}

/// Whether an address is one of this machine, in this network namespace.
///
/// # Errors
/// As bind(2).
pub fn is_own(address: Address) -> Result<bool> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
    let family = if address.ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let what = || format!("look whether {address} is an address of this machine");
    let probe = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).context(what)?;
    match bind(&probe, &Address { port: 0, ..address }.to_socket()).map_err(io::Error::from) {
        Err(err) if matches!(err.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EINVAL)) => Ok(false),
        bound => bound.map(|()| true).context(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn both_ends_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ino = |fd: &dyn AsFd| rustix::fs::fstat(fd.as_fd()).unwrap().st_ino as u32;
        let waiting = TcpSockets::read().unwrap();
        assert_eq!(waiting.by_ino[&ino(&listener)].queues.0, 1);
        let (server, _) = listener.accept().unwrap();
        let all = TcpSockets::read().unwrap();
        let ends = all.by_ino[&ino(&client)].ends;
        assert_eq!(ends.0, Address::of(client.local_addr().unwrap()));
        assert_eq!(all.peer(ends), Some(ino(&server)));
        assert_eq!(all.by_ino[&ino(&listener)].queues.0, 0);
        assert_eq!(all.peer((ends.0, Address { port: 0, ..ends.1 })), None);
    }

    #[test]
    fn mapped_addresses_are_canonical() {
        let v4 = Address { ip: Ipv4Addr::LOCALHOST.into(), port: 7, scope: 0 };
        let mapped = v4.in_family(libc::AF_INET6);
        assert_eq!(mapped.to_socket().to_string(), "[::ffff:127.0.0.1]:7");
        assert_eq!((mapped.canonical(), mapped.in_family(libc::AF_INET)), (v4, v4));
        assert!(mapped.validate(libc::AF_INET).is_err() && v4.validate(libc::AF_INET).is_ok());
    }
}
