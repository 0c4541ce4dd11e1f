//! What sockets of all families have in common: which family one is of, and the options that
//! setsockopt(2) sets.

pub mod connection;
pub mod diag;
pub mod inet;
pub mod inject;
pub mod ip;
pub mod lock;
pub mod moved;
pub mod name;
pub mod network;
pub mod options;
pub mod peer;
pub mod queue;
pub mod repair;

use crate::error::{Context, Result};
use crate::sys::{poll, socket};
use rustix::event::PollFlags;
use rustix::net::{Shutdown, shutdown};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What a socket was created with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Created {
    /// `AF_*`
    pub family: i32,
    /// `SOCK_*`
    pub kind: i32,
    /// The protocol of the family.
    pub protocol: i32,
}

impl Created {
    /// Asks a socket.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn of(fd: &impl AsFd) -> io::Result<Created> {
        let ask = |name| socket::int(fd.as_fd(), libc::SOL_SOCKET, name);
        Ok(Created {
            family: ask(libc::SO_DOMAIN)?,
            kind: ask(libc::SO_TYPE)?,
            protocol: ask(libc::SO_PROTOCOL)?,
        })
    }

    /// What a socket that no kind has recognised is, for messages.
    pub fn describe(self) -> String {
        let family = match self.family {
            libc::AF_INET if self.kind == libc::SOCK_RAW => "a raw IPv4 socket",
            libc::AF_INET6 if self.kind == libc::SOCK_RAW => "a raw IPv6 socket",
            libc::AF_INET => match self.protocol {
                libc::IPPROTO_TCP => "a TCP socket",
                libc::IPPROTO_UDP => "a UDP socket",
                libc::IPPROTO_UDPLITE => "a UDP-Lite socket",
                libc::IPPROTO_MPTCP => "a Multipath TCP socket",
                libc::IPPROTO_SCTP => "an SCTP socket",
                libc::IPPROTO_ICMP => "a ping socket",
                _ => "an IPv4 socket of another protocol",
            },
            libc::AF_INET6 => match self.protocol {
                libc::IPPROTO_TCP => "a TCP socket",
                libc::IPPROTO_UDP => "a UDP socket",
                libc::IPPROTO_UDPLITE => "a UDP-Lite socket",
                libc::IPPROTO_MPTCP => "a Multipath TCP socket",
                libc::IPPROTO_SCTP => "an SCTP socket",
                libc::IPPROTO_ICMPV6 => "a ping socket",
                _ => "an IPv6 socket of another protocol",
            },
            libc::AF_NETLINK => match self.protocol {
                libc::NETLINK_USERSOCK => "a netlink socket between processes (NETLINK_USERSOCK)",
                libc::NETLINK_XFRM => "a netlink socket for IPsec (NETLINK_XFRM)",
                libc::NETLINK_SELINUX => "a netlink socket for SELinux",
                libc::NETLINK_AUDIT => "a netlink socket for audit, which the kernel knows by its port",
                libc::NETLINK_CONNECTOR => "a netlink socket for process events (NETLINK_CONNECTOR)",
                libc::NETLINK_NETFILTER => "a netlink socket for netfilter, whose queues are bound to it",
                libc::NETLINK_CRYPTO => "a netlink socket for cryptography (NETLINK_CRYPTO)",
                _ => "a netlink socket of a protocol that is not known",
            },
            libc::AF_PACKET => "a packet socket (its rings and fanout would have to be set up again)",
            libc::AF_VSOCK => "a vsock socket (its peer is on another machine)",
            libc::AF_ALG => "a socket of the kernel's cryptography (AF_ALG; its key cannot be read)",
            libc::AF_CAN => "a CAN socket",
            libc::AF_BLUETOOTH => "a Bluetooth socket",
            libc::AF_XDP => "an XDP socket",
            AF_SMC => "an SMC socket",
            family => return format!("a socket of family {family}"),
        };
        family.into()
    }
}

/// What has happened to a socket.
///
/// # Errors
/// As poll(2).
pub fn poll(fd: BorrowedFd<'_>) -> rustix::io::Result<PollFlags> {
    poll::now(fd, PollFlags::IN | PollFlags::PRI | PollFlags::RDHUP)
}

/// Waits until one of these has happened to a socket, or an error.
///
/// # Errors
/// ETIMEDOUT after ten seconds; as poll(2).
pub fn await_event(fd: BorrowedFd<'_>, events: PollFlags) -> rustix::io::Result<()> {
    poll::wait(fd, events, 10)
}

/// Resets a connection by its other end.
///
/// # Errors
/// ETIMEDOUT; what the kernel reports.
pub fn reset(fd: BorrowedFd<'_>, partner: BorrowedFd<'_>) -> Result<()> {
    let what = || "reset a TCP connection";
    // As close(2) with `SO_LINGER` and no time.
    rustix::net::connect_unspec(partner).context(what)?;
    await_event(fd, PollFlags::empty()).context(what)
}

/// Shuts down halves of a socket: `RCV_SHUTDOWN` 1, `SEND_SHUTDOWN` 2.
///
/// # Errors
/// As shutdown(2).
pub fn shut_down(fd: BorrowedFd<'_>, halves: u8) -> rustix::io::Result<()> {
    match halves {
        1 => shutdown(fd, Shutdown::Read),
        2 => shutdown(fd, Shutdown::Write),
        3 => shutdown(fd, Shutdown::Both),
        _ => Ok(()),
    }
}

/// include/linux/socket.h
const AF_SMC: i32 = 43;

/// For messages: a process that has a socket open.
pub fn who_has(ino: u32) -> String {
    let wanted = format!("socket:[{ino}]");
    let has = |process: &std::fs::DirEntry| {
        let fds = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        fds.map(|fd| std::fs::read_link(fd.path()))
            .any(|link| link.is_ok_and(|link| link.as_os_str() == &*wanted))
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().parse::<i32>().is_ok();
    let found = processes.filter(is_process).find(has);
    found.map_or(String::new(), |process| {
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        format!(" (pid {}, {})", process.file_name().to_string_lossy(), name.trim_end())
    })
}
