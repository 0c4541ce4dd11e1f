//! Options of sockets: those whose value differs from that of a new socket.

use super::Created;
use crate::error::{Context, Error, Problem, Result, Subject};
use crate::resource::bytes::Bytes;
use crate::sys::socket;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An option with another value than that of a new socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketOption {
    /// Level, as getsockopt(2) takes it.
    pub level: i32,
    /// Name, as getsockopt(2) takes it.
    pub name: i32,
    /// Value, as getsockopt(2) returns it.
    pub value: Bytes,
}

/// An option of a table: level, name, bytes of its value, and what it is called.
pub type Entry = (i32, i32, usize, &'static str);

const fn own(name: i32, room: usize, called: &'static str) -> Entry {
    (libc::SOL_SOCKET, name, room, called)
}

// include/uapi/asm-generic/socket.h; what libc does not have on every architecture.
const SO_NOFCS: i32 = 43;
const SO_TXTIME: i32 = 61;
pub const SO_BINDTOIFINDEX: i32 = 62;
pub(super) const SO_TIMESTAMP_NEW: i32 = 63;
const SO_TIMESTAMPNS_NEW: i32 = 64;
pub(super) const SO_TIMESTAMPING_NEW: i32 = 65;
const SO_PREFER_BUSY_POLL: i32 = 69;
pub(super) const SO_BUF_LOCK: i32 = 72;
const SO_RESERVE_MEM: i32 = 73;
const SO_TXREHASH: i32 = 74;
const SO_RCVMARK: i32 = 75;
const SO_PASSPIDFD: i32 = 76;
const SO_RCVPRIORITY: i32 = 82;
const SO_PASSRIGHTS: i32 = 83;
const SO_INQ: i32 = 84;

/// Those of every family, in the order in which they are set: the sizes of the buffers set the
/// locks, and the filter and its lock come last.
const GENERIC: &[Entry] = &[
    own(libc::SO_DEBUG, 4, "SO_DEBUG"),
    own(libc::SO_REUSEADDR, 4, "SO_REUSEADDR"),
    own(libc::SO_REUSEPORT, 4, "SO_REUSEPORT"),
    own(libc::SO_DONTROUTE, 4, "SO_DONTROUTE"),
    own(libc::SO_BROADCAST, 4, "SO_BROADCAST"),
    own(libc::SO_SNDBUF, 4, "SO_SNDBUF"),
    own(libc::SO_RCVBUF, 4, "SO_RCVBUF"),
    own(SO_BUF_LOCK, 4, "SO_BUF_LOCK"),
    own(libc::SO_KEEPALIVE, 4, "SO_KEEPALIVE"),
    own(libc::SO_OOBINLINE, 4, "SO_OOBINLINE"),
    own(libc::SO_NO_CHECK, 4, "SO_NO_CHECK"),
    own(libc::SO_PRIORITY, 4, "SO_PRIORITY"),
    own(libc::SO_LINGER, 8, "SO_LINGER"),
    own(libc::SO_PASSCRED, 4, "SO_PASSCRED"),
    own(libc::SO_RCVLOWAT, 4, "SO_RCVLOWAT"),
    own(libc::SO_RCVTIMEO, 16, "SO_RCVTIMEO"),
    own(libc::SO_SNDTIMEO, 16, "SO_SNDTIMEO"),
    own(libc::SO_TIMESTAMP, 4, "SO_TIMESTAMP"),
    own(libc::SO_TIMESTAMPNS, 4, "SO_TIMESTAMPNS"),
    own(SO_TIMESTAMP_NEW, 4, "SO_TIMESTAMP_NEW"),
    own(SO_TIMESTAMPNS_NEW, 4, "SO_TIMESTAMPNS_NEW"),
    own(libc::SO_TIMESTAMPING, 8, "SO_TIMESTAMPING"),
    own(SO_TIMESTAMPING_NEW, 8, "SO_TIMESTAMPING_NEW"),
    own(libc::SO_PASSSEC, 4, "SO_PASSSEC"),
    own(libc::SO_MARK, 4, "SO_MARK"),
    own(libc::SO_RXQ_OVFL, 4, "SO_RXQ_OVFL"),
    own(libc::SO_WIFI_STATUS, 4, "SO_WIFI_STATUS"),
    own(libc::SO_PEEK_OFF, 4, "SO_PEEK_OFF"),
    own(SO_NOFCS, 4, "SO_NOFCS"),
    own(libc::SO_SELECT_ERR_QUEUE, 4, "SO_SELECT_ERR_QUEUE"),
    own(libc::SO_BUSY_POLL, 4, "SO_BUSY_POLL"),
    own(SO_PREFER_BUSY_POLL, 4, "SO_PREFER_BUSY_POLL"),
    own(libc::SO_MAX_PACING_RATE, 8, "SO_MAX_PACING_RATE"),
    own(libc::SO_ZEROCOPY, 4, "SO_ZEROCOPY"),
    own(SO_TXTIME, 8, "SO_TXTIME"),
    own(SO_BINDTOIFINDEX, 4, "SO_BINDTOIFINDEX"),
    own(SO_RESERVE_MEM, 4, "SO_RESERVE_MEM"),
    own(SO_TXREHASH, 4, "SO_TXREHASH"),
    own(SO_RCVMARK, 4, "SO_RCVMARK"),
    own(SO_PASSPIDFD, 4, "SO_PASSPIDFD"),
    own(SO_RCVPRIORITY, 4, "SO_RCVPRIORITY"),
    own(SO_PASSRIGHTS, 4, "SO_PASSRIGHTS"),
    own(SO_INQ, 4, "SO_INQ"),
    own(libc::SO_ATTACH_FILTER, 0, "SO_ATTACH_FILTER"),
    own(libc::SO_LOCK_FILTER, 4, "SO_LOCK_FILTER"),
];

// include/uapi/linux/tcp.h; what libc does not have everywhere.
const TCP_INQ: i32 = 36;
const TCP_TX_DELAY: i32 = 37;
const TCP_RTO_MAX_MS: i32 = 44;
const TCP_RTO_MIN_US: i32 = 45;
const TCP_DELACK_MAX_US: i32 = 46;

const fn tcp(name: i32, room: usize, called: &'static str) -> Entry {
    (libc::IPPROTO_TCP, name, room, called)
}

/// Those of TCP that stay as they were set. Not among them: `TCP_QUICKACK`, which does not.
pub const TCP: &[Entry] = &[
    tcp(libc::TCP_NODELAY, 4, "TCP_NODELAY"),
    tcp(libc::TCP_CORK, 4, "TCP_CORK"),
    tcp(libc::TCP_KEEPIDLE, 4, "TCP_KEEPIDLE"),
    tcp(libc::TCP_KEEPINTVL, 4, "TCP_KEEPINTVL"),
    tcp(libc::TCP_KEEPCNT, 4, "TCP_KEEPCNT"),
    tcp(libc::TCP_SYNCNT, 4, "TCP_SYNCNT"),
    tcp(libc::TCP_LINGER2, 4, "TCP_LINGER2"),
    tcp(libc::TCP_DEFER_ACCEPT, 4, "TCP_DEFER_ACCEPT"),
    tcp(libc::TCP_CONGESTION, 16, "TCP_CONGESTION"),
    tcp(libc::TCP_THIN_LINEAR_TIMEOUTS, 4, "TCP_THIN_LINEAR_TIMEOUTS"),
    tcp(libc::TCP_USER_TIMEOUT, 4, "TCP_USER_TIMEOUT"),
    tcp(libc::TCP_NOTSENT_LOWAT, 4, "TCP_NOTSENT_LOWAT"),
    tcp(TCP_INQ, 4, "TCP_INQ"),
    tcp(TCP_TX_DELAY, 4, "TCP_TX_DELAY"),
    tcp(TCP_RTO_MAX_MS, 4, "TCP_RTO_MAX_MS"),
    tcp(TCP_RTO_MIN_US, 4, "TCP_RTO_MIN_US"),
    tcp(TCP_DELACK_MAX_US, 4, "TCP_DELACK_MAX_US"),
];

/// Those of TCP that make sense before there is a connection; of one, some show what was agreed on.
pub const TCP_UNCONNECTED: &[Entry] = &[
    tcp(libc::TCP_MAXSEG, 4, "TCP_MAXSEG"),
    tcp(libc::TCP_WINDOW_CLAMP, 4, "TCP_WINDOW_CLAMP"),
    tcp(libc::TCP_FASTOPEN, 4, "TCP_FASTOPEN"),
    tcp(libc::TCP_FASTOPEN_CONNECT, 4, "TCP_FASTOPEN_CONNECT"),
    tcp(libc::TCP_FASTOPEN_NO_COOKIE, 4, "TCP_FASTOPEN_NO_COOKIE"),
    tcp(libc::TCP_SAVE_SYN, 4, "TCP_SAVE_SYN"),
];

/// Adds to options that were read that the kernel goes on to adapt the sizes of the buffers: to set
/// a size is to stop that (`SO_BUF_LOCK`, Linux 5.15). And a size that it has found may be odd, one
/// that is set is not.
pub fn keep_adapting(fd: BorrowedFd<'_>, options: &mut Vec<SocketOption>) {
    let is = |option: &SocketOption, name: i32| option.level == libc::SOL_SOCKET && option.name == name;
    let is_size = |option: &SocketOption| is(option, libc::SO_SNDBUF) || is(option, libc::SO_RCVBUF);
    for option in options.iter_mut().filter(|option| is_size(option)) {
        if let Some(size) = option.value.0.first_chunk::<4>().map(|four| i32::from_ne_bytes(*four)) {
            option.value = Bytes((size.saturating_add(1) & !1).to_ne_bytes().to_vec());
        }
    }
    let is_known = options.iter().any(|option| is(option, SO_BUF_LOCK));
    let (Some(size), false) = (options.iter().rposition(is_size), is_known) else { return };
    if let Ok(value) = socket::option(fd, libc::SOL_SOCKET, SO_BUF_LOCK, 4) {
        let lock = SocketOption { level: libc::SOL_SOCKET, name: SO_BUF_LOCK, value: Bytes(value) };
        options.insert(size + 1, lock);
    }
}

/// Creates a socket.
///
/// # Errors
/// As socket(2).
pub fn create(created: Created) -> io::Result<OwnedFd> {
    let Created { family, kind, protocol } = created;
    let protocol = NonZero::new(protocol as u32).map(Protocol::from_raw);
    let kind = SocketType::from_raw(kind as u32);
    Ok(socket_with(AddressFamily::from_raw(family as u16), kind, SocketFlags::CLOEXEC, protocol)?)
}

/// Values by level and name; `None` for an option that a socket does not have.
type Values = HashMap<(i32, i32), Option<Vec<u8>>>;

/// A new socket, with whose options those of others are compared.
pub struct New {
    fd: OwnedFd,
    values: RefCell<Values>,
}

impl New {
    /// Creates it.
    ///
    /// # Errors
    /// As socket(2).
    pub fn create(created: Created) -> io::Result<New> {
        Ok(New { fd: create(created)?, values: RefCell::default() })
    }

    fn has(&self, (level, name, room, _): Entry, value: &[u8]) -> bool {
        let mut values = self.values.borrow_mut();
        let read = || get(self.fd.as_fd(), level, name, room).ok();
        values.entry((level, name)).or_insert_with(read).as_deref() == Some(value)
    }

    /// Whether a socket is of the same network namespace, as far as the kernel tells an ordinary
    /// user before Linux 5.14 (`SO_NETNS_COOKIE`).
    fn is_beside(&self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        const SO_NETNS_COOKIE: i32 = 71;
        let cookie = |fd| socket::option(fd, libc::SOL_SOCKET, SO_NETNS_COOKIE, 8);
        if let (Ok(one), Ok(other)) = (cookie(fd), cookie(self.fd.as_fd())) {
            return Ok(one == other);
        }
        match (socket::namespace(fd), socket::namespace(self.fd.as_fd())) {
            // The sockets of a process are nearly always those of its namespace.
            (Err(err), _) | (_, Err(err)) if err.raw_os_error() == Some(libc::EPERM) => Ok(true),
            (one, other) => Ok(one? == other?),
        }
    }
}

/// Reads the options of the first table and `more` that differ from those of a new socket.
///
/// # Errors
/// *unsupported* for an eBPF program as filter, and for a socket of another network namespace; what
/// the kernel reports.
pub fn capture(fd: BorrowedFd<'_>, new: &New, more: &[&[Entry]], at: &Subject) -> Result<Vec<SocketOption>> {
    let refuse = |why: &str| Err(Error::unsupported(Problem::of(at.clone(), why)));
    if !new.is_beside(fd).context(|| format!("{at}: find its network namespace"))? {
        return refuse(
            " is a socket of another network namespace, which cannot be saved yet; close it first",
        );
    }
    let mut differing = Vec::new();
    for entry in [GENERIC].iter().chain(more).copied().flatten().copied() {
        let (level, name, room, called) = entry;
        let value = match get(fd, level, name, room) {
            Err(err) if is_unknown(&err) => continue,
            Err(err) if name == libc::SO_ATTACH_FILTER && err.raw_os_error() == Some(libc::EACCES) => {
                return refuse(
                    " is a socket with an eBPF program as its filter (SO_ATTACH_BPF), which cannot be saved; detach it first",
                );
            }
            value => value.context(|| format!("{at}: read option {called}"))?,
        };
        if !new.has(entry, &value) {
            differing.push(SocketOption { level, name, value: Bytes(value) });
        }
    }
    Ok(differing)
}

/// Reads an option as it is kept: a classic filter as its instructions.
fn get(fd: BorrowedFd<'_>, level: i32, name: i32, room: usize) -> io::Result<Vec<u8>> {
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER) => socket::filter(fd),
        _ => socket::option(fd, level, name, room),
    }
}

/// Whether a socket of this family, or this kernel, has no such option.
fn is_unknown(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EINVAL))
}

/// Sets options, and checks that the socket has them then.
///
/// # Errors
/// *conflict* for one that this kernel does not have, or not with this value.
pub fn apply(fd: BorrowedFd<'_>, options: &[SocketOption]) -> Result<()> {
    for option in options {
        let SocketOption { level, name, value } = option;
        let is = |found: &io::Result<Vec<u8>>| found.as_ref().is_ok_and(|found| *found == value.0);
        let read = || get(fd, *level, *name, value.0.len());
        if is(&read()) {
            continue;
        }
        set(fd, option).context(|| format!("set option {name} of level {level} of a socket"))?;
        if !is(&read()) {
            return Err(Error::Conflict(format!(
                "option {name} of level {level} of a socket: this kernel does not allow its value"
            )));
        }
    }
    Ok(())
}

fn set(fd: BorrowedFd<'_>, option: &SocketOption) -> io::Result<()> {
    let SocketOption { level, name, value } = option;
    match (*level, *name) {
        (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER) => socket::set_filter(fd, &value.0),
        (libc::SOL_SOCKET, libc::SO_SNDBUF | libc::SO_RCVBUF) => {
            // What is read is twice what was set (socket(7)).
            let four = value.0.clone().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
            set_size(fd, *name, i32::from_ne_bytes(four) / 2)
        }
        _ => socket::set_option(fd, *level, *name, &value.0),
    }
}

/// Sets `SO_SNDBUF` or `SO_RCVBUF`; without CAP_NET_ADMIN up to the limit of the system.
///
/// # Errors
/// As setsockopt(2).
pub fn set_size(fd: BorrowedFd<'_>, name: i32, size: i32) -> io::Result<()> {
    let forced = if name == libc::SO_SNDBUF { libc::SO_SNDBUFFORCE } else { libc::SO_RCVBUFFORCE };
    match socket::set_int(fd, libc::SOL_SOCKET, forced, size) {
        Err(err) if err.raw_os_error() == Some(libc::EPERM) => {
            socket::set_int(fd, libc::SOL_SOCKET, name, size)
        }
        set => set,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_around() {
        let created = Created { family: libc::AF_INET, kind: libc::SOCK_DGRAM, protocol: libc::IPPROTO_UDP };
        let (one, new) = (create(created).unwrap(), New::create(created).unwrap());
        let at = Subject::fd(1, 2);
        assert_eq!(capture(one.as_fd(), &new, &[], &at).unwrap(), []);
        let set = |name, value: &[u8]| {
            socket::set_option(one.as_fd(), libc::SOL_SOCKET, name, value).unwrap();
        };
        set(libc::SO_BROADCAST, &1i32.to_ne_bytes());
        set(libc::SO_SNDBUF, &10_000i32.to_ne_bytes());
        set(libc::SO_LINGER, &[1i32.to_ne_bytes(), 7i32.to_ne_bytes()].concat());
        set(libc::SO_RCVTIMEO, &[3i64.to_ne_bytes(), 0i64.to_ne_bytes()].concat());
        let options = capture(one.as_fd(), &new, &[], &at).unwrap();
        assert!(options.len() >= 4);
        let other = create(created).unwrap();
        apply(other.as_fd(), &options).unwrap();
        assert_eq!(capture(other.as_fd(), &new, &[], &at).unwrap(), options);
    }
}
