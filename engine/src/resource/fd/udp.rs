//! UDP sockets, of IPv4 and IPv6, UDP-Lite, and ping sockets, whose port is the identifier of
//! their requests.
//!
//! Datagrams that wait are looked at with `MSG_PEEK`, and put into the queue of the new socket
//! before that has its address: see [`super::socket::inject`].

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::socket::inject::{self, Datagram};
use super::socket::ip::{self, Endpoint, Membership};
use super::socket::options::{self, Entry, SocketOption};
use super::socket::{Created, poll, shut_down};
use super::{Identity, Kind, Made, Verbs, Way, unlinked};
use crate::error::{Context, Error, Problem, Result};
use crate::resource::is_default;
use crate::sys::socket;
use rustix::event::PollFlags;
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::net::{bind, connect};
use serde::{Deserialize, Serialize};
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The state of a UDP socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Udp {
    /// `AF_INET` or `AF_INET6`
    pub family: i32,
    /// `IPPROTO_UDP`, `IPPROTO_UDPLITE`, `IPPROTO_ICMP` or `IPPROTO_ICMPV6`
    pub protocol: i32,
    /// The user who has created it, on whom sharing a port depends (`SO_REUSEPORT`).
    pub owner: u32,
    /// What it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Endpoint>,
    /// What it is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Endpoint>,
    /// Whether connect(2) has chosen the address that it is bound to, but not the port. It is
    /// known of IPv6 only: a socket that was bound to one address receives no IPv4
    /// (`__inet6_bind`, net/ipv6/af_inet6.c).
    #[serde(default, skip_serializing_if = "is_default")]
    pub chosen: bool,
    /// What waits to be received.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<Datagram>,
    /// Halves that are shut down: `RCV_SHUTDOWN` 1, `SEND_SHUTDOWN` 2.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shutdown: u8,
    /// Options with other values than those of a new socket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<SocketOption>,
    /// The multicast groups that it has joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Membership>,
}

const fn own(name: i32, called: &'static str) -> Entry {
    (libc::IPPROTO_UDP, name, 4, called)
}

const fn lite(name: i32, called: &'static str) -> Entry {
    (libc::IPPROTO_UDPLITE, name, 4, called)
}

const PROTOCOLS: [i32; 4] =
    [libc::IPPROTO_UDP, libc::IPPROTO_UDPLITE, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6];

/// include/uapi/linux/udp.h
const UDP_ENCAP: i32 = 100;
const OPTIONS: &[Entry] = &[
    own(101, "UDP_NO_CHECK6_TX"),
    own(102, "UDP_NO_CHECK6_RX"),
    own(103, "UDP_SEGMENT"),
    own(104, "UDP_GRO"),
    own(1, "UDP_CORK"),
];
/// include/net/udplite.h
const LITE_OPTIONS: &[Entry] = &[lite(10, "UDPLITE_SEND_CSCOV"), lite(11, "UDPLITE_RECV_CSCOV")];

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let is_udp = |created: Created| {
        matches!(created.family, libc::AF_INET | libc::AF_INET6)
            && created.kind == libc::SOCK_DGRAM
            && PROTOCOLS.contains(&created.protocol)
    };
    seen.socket_that(is_udp).map(|created| {
        let Created { family, protocol, .. } = created?;
        Ok(Kind::Udp(Udp {
            family,
            protocol,
            owner: 0,
            name: None,
            peer: None,
            chosen: false,
            queue: Vec::new(),
            shutdown: 0,
            options: Vec::new(),
            groups: Vec::new(),
        }))
    })
}

impl Udp {
    fn created(&self) -> Created {
        Created { family: self.family, kind: libc::SOCK_DGRAM, protocol: self.protocol }
    }

    fn tables(&self) -> Vec<&'static [Entry]> {
        let own = match self.protocol {
            libc::IPPROTO_UDP => OPTIONS,
            libc::IPPROTO_UDPLITE => LITE_OPTIONS,
            _ => &[],
        };
        [ip::tables(self.family), ip::multicast_tables(self.family), &[own]].concat()
    }

    fn is_ping(&self) -> bool {
        matches!(self.protocol, libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6)
    }

    /// What it is bound to before it is connected.
    fn bound(&self) -> Option<Endpoint> {
        let name = self.name?;
        if !self.chosen {
            return Some(name);
        }
        Some(Endpoint { ip: Ipv6Addr::UNSPECIFIED.into(), scope: 0, ..name })
    }

    /// Creates it, with its owner.
    fn create_socket(&self) -> Result<OwnedFd> {
        let limit = if self.is_ping() { " (see net.ipv4.ping_group_range)" } else { "" };
        let what = || format!("create a {}{limit}", self.name());
        let fd = options::create(self.created()).context(what)?;
        if rustix::fs::fstat(&fd).context(what)?.st_uid != self.owner {
            let owner = Uid::from_raw(self.owner);
            rustix::fs::fchown(&fd, Some(owner), None::<Gid>)
                .context(|| format!("give a {} to user {}", self.name(), self.owner))?;
        }
        Ok(fd)
    }

    /// Sets options, and binds it to its address.
    fn bind(&self, fd: BorrowedFd<'_>) -> Result<()> {
        options::apply(fd, &self.options)?;
        let Some(bound) = self.bound() else { return Ok(()) };
        match bind(fd, &bound.address()) {
            Err(Errno::ADDRINUSE) => Err(Error::Conflict(format!(
                "{}: another {} has this {}; end the program that has it",
                self.describe(),
                self.name(),
                if self.is_ping() { "identifier" } else { "port" }
            ))),
            Err(Errno::ADDRNOTAVAIL) => Err(Error::Conflict(format!(
                "{}: this machine does not have the address any more; give it back",
                self.describe()
            ))),
            bound => bound.context(|| format!("bind a {} to {}", self.name(), self.describe())),
        }
    }

    fn describe(&self) -> String {
        self.name.map(|name| name.to_string()).unwrap_or_default()
    }

    /// Connects it, and shuts down halves.
    fn connect(&self, fd: BorrowedFd<'_>) -> Result<()> {
        if let Some(peer) = self.peer {
            connect(fd, &peer.address()).context(|| format!("connect a UDP socket to {peer}"))?;
            let name = Endpoint::of_socket(fd).context(|| "read the name of a socket")?;
            if name.map(|name| (name.ip, name.port)) != self.name.map(|name| (name.ip, name.port)) {
                return Err(Error::Conflict(format!(
                    "{}: a UDP socket connected to {peer} does not have this address any more; give it back to the machine",
                    self.describe()
                )));
            }
        }
        match shut_down(fd, self.shutdown) {
            // It is done all the same (`inet_shutdown`, net/ipv4/af_inet.c).
            Err(Errno::NOTCONN) => Ok(()),
            done => done.context(|| "shut down a UDP socket"),
        }
    }
}

impl Verbs for Udp {
    fn name(&self) -> &'static str {
        match self.protocol {
            libc::IPPROTO_UDP => "UDP socket",
            libc::IPPROTO_UDPLITE => "UDP-Lite socket",
            _ => "ping socket",
        }
    }

    fn title(&self, index: usize) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.name()),
            None => format!("{} {index}", self.name()),
        }
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
        let refuse = |why: &str| Err(Error::unsupported(Problem::of(at.clone(), why)));
        let fd = descriptor.duplicate()?;
        let fd = fd.as_fd();
        let state = poll(fd).context(|| format!("{at}: poll"))?;
        if state.contains(PollFlags::ERR) {
            return refuse(
                " is a UDP socket with an error that was not received (SO_ERROR, MSG_ERRQUEUE); receive it first",
            );
        }
        if self.protocol == libc::IPPROTO_UDP
            && socket::int(fd, libc::IPPROTO_UDP, UDP_ENCAP).is_ok_and(|encap| encap != 0)
        {
            return refuse(
                " is a UDP socket of a tunnel (UDP_ENCAP), which cannot be saved yet; close it first",
            );
        }
        if self.is_ping() && state.contains(PollFlags::IN) {
            return refuse(
                " is a ping socket with answers that were not received, which cannot be saved; receive them first",
            );
        }
        // A ping socket has none.
        if !self.is_ping() && socket::outq(fd).context(|| format!("{at}: read what was sent"))? != 0 {
            let why = " is a UDP socket with data that was not sent yet (UDP_CORK, MSG_MORE); send it first";
            return Err(Error::unsupported_now(Problem::of(at, why)));
        }
        let ino = rustix::fs::fstat(fd).context(|| format!("{at}: stat"))?;
        self.owner = ino.st_uid;
        self.name = Endpoint::of_socket(fd).context(|| format!("{at}: read its name"))?;
        self.peer = Endpoint::of_peer(fd).context(|| format!("{at}: read the name of its peer"))?;
        if self.peer.is_none() && self.name.is_some() {
            self.peer = all.network().peer(self.created(), ino.st_ino)?;
        }
        let is_v6 = |name: &Endpoint| name.ip.to_canonical().is_ipv6();
        self.chosen = self.peer.is_some()
            && self.name.as_ref().is_some_and(is_v6)
            && socket::int(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)
                .context(|| format!("{at}: read IPV6_V6ONLY"))?
                == 0;
        let shown = all.network().halves(self.created(), ino.st_ino as u32)?;
        self.shutdown = shown.unwrap_or({
            if state.contains(PollFlags::HUP) { 3 } else { u8::from(state.contains(PollFlags::RDHUP)) }
        });
        let new = all.network().new_socket(self.created())?;
        self.options = options::capture(fd, &new, &self.tables(), &at)?;
        self.groups = ip::memberships(fd, self.family, all.network().groups()?, &at)?;
        if state.contains(PollFlags::IN) {
            self.queue = inject::look(fd, descriptor)?;
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        let families = [libc::AF_INET, libc::AF_INET6];
        let ends = self.name.iter().chain(&self.peer).chain(self.queue.iter().map(|one| &one.from));
        let right = ends.into_iter().all(|end| end.is_of(self.family))
            && self.queue.iter().all(|one| one.data.0.len() <= usize::from(u16::MAX) - 8);
        if !families.contains(&self.family)
            || !PROTOCOLS.contains(&self.protocol)
            || !right
            || (self.is_ping() && !self.queue.is_empty())
            || (self.chosen && self.family != libc::AF_INET6)
            || self.shutdown > 3
        {
            return Err("an invalid UDP socket".into());
        }
        Ok(())
    }

    fn examine(&self) -> Result<()> {
        if self.name.is_none() { Ok(()) } else { self.bind(self.create_socket()?.as_fd()) }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        Ok(Box::new(Unopened(self.clone())))
    }

    fn enables_async_late(&self) -> bool {
        true
    }
}

/// Whether a socket with this option may not get the datagrams that it had got.
fn is_in_the_way(option: &SocketOption) -> bool {
    use ip::IPV6_MINHOPCOUNT;
    use options::SO_BINDTOIFINDEX;
    matches!(
        (option.level, option.name),
        (libc::SOL_SOCKET, SO_BINDTOIFINDEX | libc::SO_ATTACH_FILTER | libc::SO_LOCK_FILTER)
            | (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT | libc::IP_MINTTL)
            | (libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT)
    )
}

/// A socket that is not open yet.
struct Unopened(Udp);

impl Made for Unopened {
    fn open(&mut self, _way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let fd = self.0.create_socket()?;
        unlinked::set_flags(&fd, flags)?;
        Ok(fd)
    }

    fn adjust(&self, _way: &Way<'_>, fd: &OwnedFd, _flags: i32) -> Result<()> {
        if !self.0.queue.is_empty() {
            // What is told with a datagram is noted when it comes (`ipv4_pktinfo_prepare`,
            // net/ipv4/ip_sockglue.c).
            let early: Vec<_> =
                self.0.options.iter().filter(|option| !is_in_the_way(option)).cloned().collect();
            options::apply(fd.as_fd(), &early)?;
            inject::fill(fd.as_fd(), self.0.protocol, &self.0.queue)?;
        }
        self.0.bind(fd.as_fd())?;
        ip::join(fd.as_fd(), &self.0.groups)?;
        self.0.connect(fd.as_fd())
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "udp-queue-lost",
        what: "what waits in UDP sockets is lost",
        commit: |r| each(r, |udp| udp.queue.clear()),
    },
    crate::resource::fault::Fault {
        name: "udp-borders-lost",
        what: "an empty datagram that waits in a UDP socket is lost",
        commit: |r| each(r, |udp| udp.queue.retain(|datagram| !datagram.data.0.is_empty())),
    },
    crate::resource::fault::Fault {
        name: "udp-sender-changed",
        what: "datagrams that wait in UDP sockets come from another port",
        commit: |r| each(r, |udp| udp.queue.iter_mut().for_each(|datagram| datagram.from.port ^= 1)),
    },
    crate::resource::fault::Fault {
        name: "udp-destination-lost",
        what: "datagrams that wait in UDP sockets do not say where they were sent to",
        commit: |r| each(r, |udp| udp.queue.iter_mut().for_each(|datagram| datagram.to = None)),
    },
    crate::resource::fault::Fault {
        name: "udp-name-lost",
        what: "UDP sockets that are not connected have no address",
        commit: |r| {
            each(r, |udp| {
                if udp.peer.is_none() {
                    udp.name = None;
                }
            });
        },
    },
    crate::resource::fault::Fault {
        name: "udp-connection-forgotten",
        what: "UDP sockets are not connected",
        commit: |r| each(r, |udp| udp.peer = None),
    },
    crate::resource::fault::Fault {
        name: "udp-half-open-again",
        what: "UDP sockets that were shut down are open in both directions",
        commit: |r| each(r, |udp| udp.shutdown = 0),
    },
    crate::resource::fault::Fault {
        name: "udp-options-lost",
        what: "UDP sockets have the options of new ones",
        commit: |r| each(r, |udp| udp.options.clear()),
    },
    crate::resource::fault::Fault {
        name: "udp-groups-lost",
        what: "UDP sockets are in no multicast group",
        commit: |r| each(r, |udp| udp.groups.clear()),
    },
];

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Udp)) {
    for inode in &mut records.inodes {
        if let Kind::Udp(udp) = &mut inode.kind {
            change(udp);
        }
    }
}
