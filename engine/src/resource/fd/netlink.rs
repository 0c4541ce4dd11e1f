//! Netlink sockets that wait for nothing: routing, sock_diag, kernel events, generic netlink.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::socket::options::{self, Entry, SocketOption};
use super::socket::{Created, poll};
use super::{Identity, Kind, Made, Verbs, Way, unlinked};
use crate::error::{Context, Error, Problem, Result};
use crate::resource::is_default;
use crate::sys::socket;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{bind, connect, getpeername, getsockname};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The state of a netlink socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netlink {
    /// `SOCK_RAW` or `SOCK_DGRAM`, between which netlink makes no difference.
    pub kind: i32,
    /// `NETLINK_*`
    pub protocol: i32,
    /// Its port, often a PID; 0 if it is not bound.
    #[serde(default, skip_serializing_if = "is_default")]
    pub port: u32,
    /// Numbers of the multicast groups that it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
    /// Port and mask of groups that it is connected to, other than the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<(u32, u32)>,
    /// Options with other values than those of a new socket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<SocketOption>,
}

const SOL_NETLINK: i32 = 270;

const fn own(name: i32, called: &'static str) -> Entry {
    (SOL_NETLINK, name, 4, called)
}

/// include/uapi/linux/netlink.h
const OPTIONS: &[Entry] = &[
    own(3, "NETLINK_PKTINFO"),
    own(4, "NETLINK_BROADCAST_ERROR"),
    own(5, "NETLINK_NO_ENOBUFS"),
    own(8, "NETLINK_LISTEN_ALL_NSID"),
    own(10, "NETLINK_CAP_ACK"),
    own(11, "NETLINK_EXT_ACK"),
    own(12, "NETLINK_GET_STRICT_CHK"),
];
const NETLINK_ADD_MEMBERSHIP: i32 = 1;
const NETLINK_LIST_MEMBERSHIPS: i32 = 9;
/// More groups than any protocol has.
const MOST_GROUPS: u32 = 8192;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let is_plain = |created: Created| {
        created.family == libc::AF_NETLINK
            && matches!(
                created.protocol,
                libc::NETLINK_ROUTE
                    | libc::NETLINK_SOCK_DIAG
                    | libc::NETLINK_KOBJECT_UEVENT
                    | libc::NETLINK_GENERIC
            )
    };
    seen.socket_that(is_plain).map(|created| {
        let Created { kind, protocol, .. } = created?;
        let (groups, options) = (Vec::new(), Vec::new());
        Ok(Kind::Netlink(Netlink { kind, protocol, port: 0, groups, peer: None, options }))
    })
}

impl Netlink {
    fn created(&self) -> Created {
        Created { family: libc::AF_NETLINK, kind: self.kind, protocol: self.protocol }
    }

    fn bind(&self, fd: BorrowedFd<'_>) -> Result<()> {
        if self.port == 0 {
            return Ok(());
        }
        match bind(fd, &SocketAddrNetlink::new(self.port, 0)) {
            Err(Errno::ADDRINUSE) => Err(Error::Conflict(format!(
                "another netlink socket has port {} of protocol {}; end the program that has it",
                self.port, self.protocol
            ))),
            bound => bound.context(|| format!("bind a netlink socket to port {}", self.port)),
        }
    }
}

impl Verbs for Netlink {
    fn name(&self) -> &'static str {
        "netlink socket"
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn keeps_offset(&self) -> bool {
        false
    }

    fn capture(&mut self, descriptors: &[Descriptor], all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let at = descriptor.at().leading_to(descriptor.name());
        let refuse = |why: &str| Err(Error::unsupported_now(Problem::of(at.clone(), why)));
        let fd = descriptor.duplicate()?;
        let fd = fd.as_fd();
        let state = poll(fd).context(|| format!("{at}: poll"))?;
        if state.contains(PollFlags::ERR) {
            return refuse(
                " is a netlink socket that has lost messages, and was not told yet (ENOBUFS); receive from it first",
            );
        }
        let ino = rustix::fs::fstat(fd).context(|| format!("{at}: stat"))?.st_ino;
        // Not listed before it is bound: then it has asked for nothing.
        let shown = all.network().netlink(ino)?.unwrap_or_default();
        if shown.dumps {
            return refuse(
                " is a netlink socket with an answer that is not complete (a dump); receive all of it first",
            );
        }
        if shown.queued != 0 || state.contains(PollFlags::IN) {
            return refuse(
                " is a netlink socket with messages that were not received, which cannot be saved; receive them first",
            );
        }
        let name = SocketAddrNetlink::try_from(getsockname(fd).context(|| format!("{at}: read its port"))?)
            .context(|| format!("{at}: read its port"))?;
        self.port = name.pid();
        let peer = getpeername(fd).context(|| format!("{at}: read the port of its peer"))?;
        let peer = peer.and_then(|peer| SocketAddrNetlink::try_from(peer).ok());
        self.peer = peer.map(|peer| (peer.pid(), peer.groups())).filter(|peer| *peer != (0, 0));
        let mask = socket::option(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, MOST_GROUPS as usize / 8)
            .context(|| format!("{at}: list its groups"))?;
        let words = mask.chunks_exact(4).map(|four| u32::from_ne_bytes(four.try_into().expect("four bytes")));
        let bits = words.zip(0..).flat_map(|(word, index)| {
            (0..32).filter(move |bit| word >> bit & 1 != 0).map(move |bit| index * 32 + bit + 1)
        });
        self.groups = bits.collect();
        if self.protocol == libc::NETLINK_GENERIC && !self.groups.is_empty() {
            let why = " is a netlink socket of generic netlink in a multicast group, whose number may be another one's at a restart; leave the group first";
            return Err(Error::unsupported(Problem::of(at, why)));
        }
        let new = all.network().new_socket(self.created())?;
        self.options = options::capture(fd, &new, &[OPTIONS], &at)?;
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if self.groups.iter().any(|group| !(1..=MOST_GROUPS).contains(group)) {
            return Err("a netlink socket in an invalid group".into());
        }
        Ok(())
    }

    fn examine(&self) -> Result<()> {
        if self.port == 0 {
            return Ok(());
        }
        self.bind(options::create(self.created()).context(|| "create a netlink socket")?.as_fd())
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        Ok(Box::new(Unopened(self.clone())))
    }

    fn enables_async_late(&self) -> bool {
        true
    }
}

/// A socket that is not open yet.
struct Unopened(Netlink);

impl Made for Unopened {
    fn open(&mut self, _way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let fd = options::create(self.0.created()).context(|| "create a netlink socket")?;
        unlinked::set_flags(&fd, flags)?;
        Ok(fd)
    }

    fn adjust(&self, _way: &Way<'_>, fd: &OwnedFd, _flags: i32) -> Result<()> {
        let Netlink { options, groups, peer, .. } = &self.0;
        options::apply(fd.as_fd(), options)?;
        self.0.bind(fd.as_fd())?;
        if let Some((port, mask)) = peer {
            connect(fd, &SocketAddrNetlink::new(*port, *mask)).context(|| "connect a netlink socket")?;
        }
        for group in groups {
            socket::set_int(fd.as_fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, *group as i32)
                .context(|| format!("join group {group} of netlink protocol {}", self.0.protocol))?;
        }
        Ok(())
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "netlink-groups-lost",
        what: "netlink sockets are in no group",
        commit: |r| each(r, |netlink| netlink.groups.clear()),
    },
    crate::resource::fault::Fault {
        name: "netlink-options-lost",
        what: "netlink sockets have the options of new ones",
        commit: |r| each(r, |netlink| netlink.options.clear()),
    },
    crate::resource::fault::Fault {
        name: "netlink-port-lost",
        what: "netlink sockets are not bound",
        commit: |r| each(r, |netlink| netlink.port = 0),
    },
];

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Netlink)) {
    for inode in &mut records.inodes {
        if let Kind::Netlink(netlink) = &mut inode.kind {
            change(netlink);
        }
    }
}
