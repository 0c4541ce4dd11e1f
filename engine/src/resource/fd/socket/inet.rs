//! The Internet sockets of the network namespace, as sock_diag(7) shows them, and those of TCP that
//! are in the way of others.

use super::ip::Endpoint;
use super::{Created, who_has};
use crate::error::{Context, Error, Result};
use crate::sys::sock_diag;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

/// Both ends of a connection: the own one and the other one.
pub type Ends = (Endpoint, Endpoint);

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
    /// Of these, the first one with each pair of ends.
    others_by_ends: HashMap<Ends, usize>,
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

/// Asks for the sockets of a protocol in some states.
fn request(family: i32, protocol: i32, states: u32) -> [u8; uapi::REQUEST] {
    let mut request = [0; uapi::REQUEST];
    request[0] = family as u8;
    request[1] = protocol as u8;
    request[2] = uapi::SHOW;
    request[4..8].copy_from_slice(&states.to_ne_bytes());
    request
}

fn tcp_request(family: i32) -> [u8; uapi::REQUEST] {
    // Those that are bound only (bit 13) are asked for by their own descriptors.
    request(family, libc::IPPROTO_TCP, 0xfff)
}

fn ino(entry: &sock_diag::Entry<'_>) -> u32 {
    entry.word(68)
}

/// Halves that are shut down, if they are told.
fn shut_down(entry: &sock_diag::Entry<'_>) -> Option<u8> {
    entry.attribute(uapi::SHUTDOWN)?.first().copied()
}

/// Halves of sockets that are shut down (`RCV_SHUTDOWN` 1, `SEND_SHUTDOWN` 2) by inode number, as
/// sock_diag(7) shows them (`inet_diag_msg_attrs_fill`, net/ipv4/inet_diag.c). It does not show
/// those without a port, and none on a kernel without `CONFIG_INET_UDP_DIAG` and the like.
///
/// # Errors
/// What the kernel reports.
pub fn halves(created: Created) -> io::Result<HashMap<u32, u8>> {
    let mut all = HashMap::new();
    let request = request(created.family, created.protocol, u32::MAX);
    let dump = sock_diag::dump(&request, uapi::ANSWER, |entry| {
        all.extend(shut_down(&entry).map(|halves| (ino(&entry), halves)));
    });
    match dump {
        Err(err) if err.raw_os_error() == Some(libc::ENOENT) => Ok(HashMap::new()),
        dump => dump.map(|()| all),
    }
}

impl TcpSockets {
    /// Asks for all of them that are connected, connecting, closing or listening.
    ///
    /// # Errors
    /// ENOENT without `CONFIG_INET_TCP_DIAG`.
    pub fn read() -> Result<TcpSockets> {
        let mut all = TcpSockets::default();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let dump = sock_diag::dump(&tcp_request(family), uapi::ANSWER, |entry| all.add(&entry));
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
            Endpoint { ip, port, scope, flow: 0 }.canonical()
        };
        let socket = TcpSocket {
            family,
            state: entry.fixed[1],
            ends: (address(0, 4), address(2, 20)),
            queues: (entry.word(56), entry.word(60)),
            ino: ino(entry),
            shutdown: shut_down(entry).unwrap_or(0),
            has_keys: entry.attribute(uapi::MD5SIG).is_some(),
            id,
        };
        if socket.ino == 0 {
            self.others_by_ends.entry(socket.ends).or_insert(self.others.len());
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
        self.others_by_ends.get(&(other, own)).map(|index| &self.others[*index])
    }
}

/// Whether a socket is a listener to which a connection with this end may have come.
fn accepts(listener: &TcpSocket, socket: &TcpSocket) -> bool {
    let (at, to) = (listener.ends.0, socket.ends.0);
    let matches = at.ip == to.ip || (at.ip.is_unspecified() && (at.ip.is_ipv6() || to.ip.is_ipv4()));
    listener.state == uapi::LISTEN && at.port == to.port && matches
}

/// Looks which socket is in the way of one bound to `own`, and connected to `to`.
///
/// # Errors
/// *conflict* with the process that has it; what is only left of connections is no conflict.
pub fn look_in_the_way(own: Endpoint, to: Option<Endpoint>) -> Result<()> {
    let sockets = TcpSockets::read()?;
    let is_in_the_way = |ends: Ends| is_at(ends, own, to);
    let living = sockets.by_ino.values().find(|socket| is_in_the_way(socket.ends));
    if let Some(living) = living {
        return Err(in_use(own, &who_has(living.ino)));
    }
    let mut left = sockets.others.iter().filter(|socket| is_in_the_way(socket.ends)).peekable();
    // What is only left of connections is removed when it is time.
    if left.peek().is_some() && left.all(is_left) { Ok(()) } else { Err(in_use(own, "")) }
}

/// Whether a socket with these ends is in the way of one bound to `own`, and connected to `to`.
fn is_at(ends: Ends, own: Endpoint, to: Option<Endpoint>) -> bool {
    match to {
        Some(to) => ends == (own.canonical(), to.canonical()),
        None => {
            let (one, other) = (ends.0.ip, own.canonical().ip);
            let overlap = one == other || one.is_unspecified() || other.is_unspecified();
            ends.0.port == own.port && overlap
        }
    }
}

/// Removes what is left of connections that are closed, where it is in the way; whether there was
/// any.
///
/// # Errors
/// EOPNOTSUPP without `CONFIG_INET_DIAG_DESTROY`.
pub fn clear(own: Endpoint, to: Option<Endpoint>) -> Result<bool> {
    Ok(destroy(|socket| is_left(socket) && is_at(socket.ends, own, to))? > 0)
}

/// Closes sockets that no process has and that are in the way of `is_in_the_way`: those that wait
/// for late packets of a connection that was closed, and the other end of that.
fn destroy(is_in_the_way: impl Fn(&TcpSocket) -> bool) -> Result<usize> {
    let all = TcpSockets::read()?;
    let mut cleared = 0;
    for socket in all.others.iter().filter(|socket| is_in_the_way(socket)) {
        let mut request = tcp_request(socket.family.into());
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
pub fn in_use(address: Endpoint, who: &str) -> Error {
    Error::Conflict(format!("{address}: the address is in use{who}; end the program that uses it"))
}

/// An address of this machine, like the given one, with a port that nobody uses.
///
/// # Errors
/// As bind(2).
pub fn free_address(like: Endpoint) -> Result<Endpoint> {
    let ip = match like.ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let probe = TcpListener::bind(Endpoint { ip, port: 0, ..like }.address());
    let found = probe.and_then(|probe| probe.local_addr());
    found.map(Endpoint::from).context(|| format!("find a free port of {ip}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
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
        assert_eq!(ends.0, Endpoint::from(client.local_addr().unwrap()));
        assert_eq!(all.peer(ends), Some(ino(&server)));
        assert_eq!(all.by_ino[&ino(&listener)].queues.0, 0);
        assert_eq!(all.peer((ends.0, Endpoint { port: 0, ..ends.1 })), None);
    }
}
