//! TCP sockets: those that are not connected, those that listen, and connections. How connections
//! come back is in `tcp_join.rs`, and in `tcp_outside.rs` for those to outside.
//!
//! Both ends of a connection inside the job are read and made in repair mode. What one end has sent
//! and the other has not received is sent again by the restarted one, and so is the end of a
//! stream. So what is recorded of an end is what it receives: what has arrived, what is on its way,
//! and whether there is more to come.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::job::Established;
use super::socket::connection::{Connection, Looked, Other, Outside, state};
use super::socket::inet;
use super::socket::ip::{self, Endpoint};
use super::socket::options::{self, Entry, SocketOption};
use super::socket::repair;
use super::socket::{Created, poll};
use super::{Identity, JoinStage, Joined, Kind, Made, Reference, Verbs, Way, unlinked};
use crate::error::{Context, Error, Problem, Result};
use crate::resource::bytes::Bytes;
use crate::resource::is_default;
use crate::sys::nftables::LockId;
use crate::sys::socket;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{bind, listen};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The state of a TCP socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tcp {
    /// `AF_INET` or `AF_INET6`
    pub family: i32,
    /// What it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Endpoint>,
    /// What it is connected to.
    pub link: Link,
    /// Whether it has shut down the half that receives, and not because the other end has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deaf: bool,
    /// Options with other values than those of a new socket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<SocketOption>,
}

/// What a socket is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Nothing.
    None,
    /// It waits for connections.
    Listening {
        /// As given to listen(2).
        backlog: u32,
    },
    /// Another socket of the job.
    Peer {
        /// Its open file description.
        file: usize,
        /// This end.
        connection: Connection,
    },
    /// One that is closed.
    Closed {
        /// This end.
        connection: Connection,
    },
    /// A listener that has not accepted it yet. Nothing was sent.
    Waiting {
        /// The listener's open file description.
        listener: usize,
        /// The address of the other end.
        to: Endpoint,
    },
    /// One that has not answered yet: it is connecting.
    Connecting {
        /// The address of the other end.
        to: Endpoint,
    },
    /// Nothing any more: both directions have ended.
    Over {
        /// What has arrived and was not read.
        received: Bytes,
    },
    /// A process outside the job.
    Outside(Box<Outside>),
    /// Nothing any more: it is reset at the restart, which the program learns from an error.
    Reset {
        /// What has arrived and was not read.
        received: Bytes,
    },
}

/// `TCP_AO_INFO`, include/uapi/linux/tcp.h; Linux 6.7.
const TCP_AO_INFO: i32 = 40;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let is_tcp = |created: Created| {
        matches!(created.family, libc::AF_INET | libc::AF_INET6) && created.protocol == libc::IPPROTO_TCP
    };
    seen.socket_that(is_tcp).map(|created| {
        let Created { family, .. } = created?;
        Ok(Kind::Tcp(Tcp { family, name: None, link: Link::None, deaf: false, options: Vec::new() }))
    })
}

/// Options that its kind of socket has, besides the generic ones.
fn tables(family: i32, is_connected: bool) -> Vec<&'static [Entry]> {
    let unconnected: &[_] = if is_connected { &[] } else { &[options::TCP_UNCONNECTED] };
    [&[options::TCP], ip::tables(family), unconnected].concat()
}

impl Tcp {
    fn created(&self) -> Created {
        Created { family: self.family, kind: libc::SOCK_STREAM, protocol: libc::IPPROTO_TCP }
    }

    pub(super) fn create(&self) -> Result<OwnedFd> {
        options::create(self.created()).context(|| "create a TCP socket")
    }

    pub(super) fn own(&self) -> Result<Endpoint> {
        self.name.ok_or_else(|| Error::Conflict("a TCP connection without an address".into()))
    }

    pub(super) fn connection(&self) -> Option<&Connection> {
        match &self.link {
            Link::Peer { connection, .. } | Link::Closed { connection } => Some(connection),
            _ => None,
        }
    }

    /// Whether it gets its name when everything that is not connected has one.
    fn is_named_late(&self) -> bool {
        !matches!(self.link, Link::None | Link::Listening { .. })
    }

    /// The address of the other end.
    fn to(&self) -> Option<Endpoint> {
        match &self.link {
            Link::Peer { connection, .. } | Link::Closed { connection } => Some(connection.to),
            Link::Waiting { to, .. } | Link::Connecting { to } => Some(*to),
            Link::Outside(outside) => Some(outside.to),
            Link::None | Link::Listening { .. } | Link::Over { .. } | Link::Reset { .. } => None,
        }
    }
}

/// Whether an option is a segment size (`TCP_MAXSEG`) beyond what setsockopt(2) takes
/// (`MAX_TCP_WINDOW`, include/net/tcp.h).
fn is_segment_of_attempt(option: &SocketOption) -> bool {
    let value = option.value.0.first_chunk().map(|four| i32::from_ne_bytes(*four));
    (option.level, option.name) == (libc::IPPROTO_TCP, libc::TCP_MAXSEG)
        && value.is_some_and(|size| size > 32_767)
}

impl Verbs for Tcp {
    fn name(&self) -> &'static str {
        "TCP socket"
    }

    fn title(&self, index: usize) -> String {
        match (self.name, self.to()) {
            (Some(own), Some(to)) => format!("TCP socket {own} to {to}"),
            (Some(own), None) => format!("TCP socket {own}"),
            _ => format!("TCP socket {index}"),
        }
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn keeps_offset(&self) -> bool {
        false
    }

    fn refers_to(&self) -> Vec<Reference> {
        match &self.link {
            Link::Peer { file, .. } | Link::Waiting { listener: file, .. } => {
                vec![Reference::File(*file)]
            }
            _ => Vec::new(),
        }
    }

    fn capture(&mut self, descriptors: &[Descriptor], all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let at = descriptor.at().leading_to(descriptor.name());
        let refuse = |why: &str| Err(Error::unsupported(Problem::of(at.clone(), why)));
        // What a moment later may be otherwise.
        let refuse_now = |why: &str| Err(Error::unsupported_now(Problem::of(at.clone(), why)));
        let fd = descriptor.duplicate()?;
        let has = |name: i32, room: usize| socket::option(fd.as_fd(), libc::IPPROTO_TCP, name, room);
        if has(libc::TCP_ULP, 16).is_ok_and(|name| !name.is_empty()) {
            return refuse(
                " is a TCP socket with an upper layer (TCP_ULP, as kernel TLS), which cannot be saved yet; close it first",
            );
        }
        if has(TCP_AO_INFO, 64).is_ok() {
            return refuse(
                " is a TCP socket with keys (TCP_AO), which cannot be saved; remove them or close it first",
            );
        }
        let peek_offset = socket::int(fd.as_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF);
        if peek_offset.is_ok_and(|offset| offset >= 0) {
            return refuse(
                " is a TCP socket with an offset for looks into its queue (SO_PEEK_OFF), which cannot be saved; set it to -1 first",
            );
        }
        let what = || format!("{at}: read its state");
        let (state, _) = repair::info(fd.as_fd()).context(what)?;
        let ino = descriptor.inode()? as u32;
        let events = poll(fd.as_fd()).context(what)?;
        if events.contains(PollFlags::ERR) {
            return refuse_now(
                " is a TCP socket with an error, or a message of its error queue, that was not read (SO_ERROR, MSG_ERRQUEUE); read it first",
            );
        }
        if events.contains(PollFlags::PRI) {
            return refuse(
                " is a TCP socket with an urgent byte (MSG_OOB) that was not received; receive it first",
            );
        }
        self.name = Endpoint::of_socket(fd.as_fd()).context(what)?;
        let is_over = state == state::CLOSE && events.contains(PollFlags::RDHUP);
        let is_connected = is_over || !matches!(state, state::CLOSE | state::LISTEN);
        let tables = tables(self.family, is_connected);
        let new = all.network().new_socket(self.created())?;
        self.options = options::capture(fd.as_fd(), &new, &tables, &at)?;
        options::keep_adapting(fd.as_fd(), &mut self.options);
        // That of an attempt to connect that has failed, and more than can be set.
        self.options.retain(|option| !is_segment_of_attempt(option));
        // bind(2) to an address sets it (`__inet6_bind`), and connections are bound at a restart.
        let only_v6 = (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
        self.options.retain(|option| !is_connected || (option.level, option.name) != only_v6);
        match state {
            state::CLOSE if is_over => {
                let (received, waiting) = repair::received(fd.as_fd()).context(what)?;
                if self.name.is_none_or(|name| name.port == 0) || received.len() != waiting {
                    return refuse_now(
                        " is a TCP socket whose connection is over, and which has no address; close it first",
                    );
                }
                self.link = Link::Over { received: Bytes(received) };
                return Ok(());
            }
            state::CLOSE => return Ok(()),
            state::SYN_RECV => {
                return refuse_now(
                    " is a TCP socket that is being connected from both ends, which cannot be saved; wait until it is connected",
                );
            }
            _ => {}
        }
        let sockets = all.network().tcp()?;
        let Some(shown) = sockets.by_ino.get(&ino) else {
            let why = " is a TCP socket that has just changed, or is of another network namespace; try again";
            return Err(Error::unsupported_now(Problem::of(at, why)));
        };
        if shown.has_keys {
            return refuse(
                " is a TCP socket with keys (TCP_MD5SIG), which cannot be saved; remove them or close it first",
            );
        }
        if state == state::SYN_SENT {
            // getpeername(2) does not tell it yet.
            let Endpoint { ip, .. } = shown.ends.1;
            let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            if is_link_local || repair::sends_with_request(fd.as_fd()).context(what)? {
                return refuse_now(
                    " is a TCP socket that is being connected, with data (TCP_FASTOPEN) or to a link-local address, which cannot be saved; wait until it is connected",
                );
            }
            let to = shown.ends.1;
            self.link = Link::Connecting { to: if self.family == libc::AF_INET6 { to.mapped() } else { to } };
            return Ok(());
        }
        if state == state::LISTEN {
            let (waiting, backlog) = shown.queues;
            let clients = sockets
                .waiting_at(shown)
                .filter(|client| client.is_some_and(|client| all.socket(client).is_some()));
            if clients.count() != waiting as usize {
                return refuse_now(&format!(
                    " is a TCP socket at which {waiting} connections wait to be accepted, not all of them of the job; accept them first"
                ));
            }
            self.link = Link::Listening { backlog };
            return Ok(());
        }
        let ended = || Error::Vanished(format!("{at}: its connection has just ended"));
        let to = Endpoint::of_peer(fd.as_fd()).context(what)?.ok_or_else(ended)?;
        // A label of the flow would have to be leased.
        let to = Endpoint { flow: 0, ..to };
        let file = all.socket(ino).expect("it has a descriptor");
        let looked = Looked { file, descriptor, at: &at, all, to };
        let waiting = sockets.without_process(shown.ends).filter(|other| !inet::is_left(other));
        let listener = waiting.and_then(|other| sockets.listener(other)).and_then(|ino| all.socket(ino));
        let may_leave = all.established() != Established::Refused;
        // Whether a process outside has accepted it makes no difference to this end.
        let is_outside = waiting.is_some() && listener.is_none() && may_leave;
        if waiting.is_some() && !is_outside {
            let quiet = repair::has_sent_nothing(fd.as_fd()).context(what)? && shown.shutdown == 0;
            let (Some(listener), true) = (listener, quiet) else {
                return refuse_now(&format!(
                    " is a TCP connection to {to} that was not accepted yet, of a process outside the job or with data; accept it first"
                ));
            };
            self.link = Link::Waiting { listener, to };
            return Ok(());
        }
        let other = if is_outside { Other::Outside } else { looked.other(shown.ends, state, sockets)? };
        self.link = match other {
            Other::Inside(peer) => Link::Peer { file: peer, connection: looked.read(Some(peer))? },
            Other::Closed if socket::outq(fd.as_fd()).context(what)? == 0 => {
                Link::Closed { connection: looked.read(None)? }
            }
            Other::Closed => {
                return refuse(" is a TCP connection with data for an end that is closed; close it, too");
            }
            Other::Outside => {
                let lock = looked.lock(sockets)?;
                Link::Outside(Box::new(looked.read_outside(lock)?))
            }
        };
        self.deaf = shown.shutdown & 1 != 0 && !state::has_met_end(state);
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if !matches!(self.family, libc::AF_INET | libc::AF_INET6) {
            return Err("a TCP socket of another family".into());
        }
        let fits = |end: &Endpoint| {
            let is = end.is_of(self.family);
            is.then_some(()).ok_or_else(|| format!("{end}: an address of another family"))
        };
        self.name.iter().try_for_each(fits)?;
        self.to().iter().try_for_each(fits)?;
        if self.is_named_late() && self.name.is_none() {
            return Err("a TCP connection without an address".into());
        }
        if let Link::Outside(outside) = &self.link {
            let is_valid = outside.agreed.is_valid();
            return is_valid.then_some(()).ok_or_else(|| "an invalid TCP connection".into());
        }
        let Some(connection) = self.connection() else { return Ok(()) };
        let whole = connection.agreed.is_valid() && self.name.is_some();
        let is_closed = matches!(self.link, Link::Closed { .. });
        if !whole || (is_closed && !(connection.ends && connection.on_its_way.0.is_empty())) {
            return Err("an invalid TCP connection".into());
        }
        Ok(())
    }

    fn examine(&self) -> Result<()> {
        let Some(own) = self.name else { return Ok(()) };
        let probe = self.create()?;
        let bound = |bound: rustix::io::Result<()>| match bound {
            Err(Errno::ADDRNOTAVAIL) => Err(Error::Conflict(format!(
                "{own}: no such address on this machine; give it to an interface first"
            ))),
            bound => bound.context(|| format!("bind a socket to {own}")),
        };
        let is_asked_for = matches!(self.link, Link::Waiting { .. } | Link::Connecting { .. });
        if let Some(to) = self.to().filter(|_| !is_asked_for) {
            repair::begin_new(probe.as_fd())?;
            options::apply(probe.as_fd(), &before_bind(&self.options))?;
            bound(bind(&probe, &own.address()))?;
            let what = || format!("make the connection {own} to {to}");
            return match rustix::net::connect(&probe, &to.address()) {
                Err(Errno::ADDRNOTAVAIL) => inet::look_in_the_way(own, Some(to)),
                connected => connected.context(what),
            };
        }
        options::apply(probe.as_fd(), &before_bind(&self.options))?;
        if matches!(self.link, Link::Over { .. } | Link::Reset { .. }) {
            repair::begin_new(probe.as_fd())?;
            return bound(bind(&probe, &own.address()));
        }
        set_reuse(probe.as_fd())?;
        match bind(&probe, &own.address()) {
            Err(Errno::ADDRINUSE) => inet::look_in_the_way(own, None),
            other => bound(other),
        }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        Ok(Box::new(Unopened(self.clone())))
    }

    fn is_connected(&self) -> bool {
        self.is_named_late() && !matches!(self.link, Link::Connecting { .. })
    }

    fn enables_async_late(&self) -> bool {
        true
    }

    fn outlives_job(&self) -> bool {
        self.is_named_late()
    }

    fn forget(&self, fd: OwnedFd) {
        // The end that nobody has any more waits for this one.
        let has_orphan = matches!(self.link, Link::Closed { .. });
        repair::forget(fd, has_orphan);
    }

    fn has_partner(&self) -> bool {
        matches!(self.link, Link::Closed { .. } | Link::Over { .. } | Link::Reset { .. })
    }

    fn lock(&self) -> Option<LockId> {
        match &self.link {
            Link::Outside(outside) => outside.lock,
            _ => None,
        }
    }

    fn joins(&self) -> bool {
        self.is_named_late()
    }

    fn join(&self, stage: JoinStage, fd: BorrowedFd<'_>, job: &Joined<'_>) -> Result<()> {
        self.come_back(stage, fd, job)
    }
}

/// The options without which an address may not be there, or be another one.
fn before_bind(options: &[SocketOption]) -> Vec<SocketOption> {
    use ip::{IPV6_FREEBIND, IPV6_TRANSPARENT};
    use options::SO_BINDTOIFINDEX;
    let is_needed = |option: &&SocketOption| {
        matches!(
            (option.level, option.name),
            (libc::SOL_SOCKET, libc::SO_REUSEPORT | SO_BINDTOIFINDEX)
                | (
                    libc::IPPROTO_IP,
                    libc::IP_FREEBIND | libc::IP_TRANSPARENT | libc::IP_BIND_ADDRESS_NO_PORT
                )
                | (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY | IPV6_FREEBIND | IPV6_TRANSPARENT)
        )
    };
    options.iter().filter(is_needed).cloned().collect()
}

pub(super) fn set_reuse(fd: BorrowedFd<'_>) -> Result<()> {
    socket::set_int(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1).context(|| "set SO_REUSEADDR")
}

/// A socket that is not open yet.
struct Unopened(Tcp);

impl Made for Unopened {
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let fd = self.0.create()?;
        unlinked::set_flags(&fd, flags)?;
        if self.0.has_partner() {
            way.keep_partner(self.0.create()?);
        }
        Ok(fd)
    }

    fn adjust(&self, _way: &Way<'_>, fd: &OwnedFd, _flags: i32) -> Result<()> {
        let Tcp { name, link, options, .. } = &self.0;
        if self.0.is_named_late() {
            return Ok(());
        }
        options::apply(fd.as_fd(), options)?;
        let Some(own) = *name else { return Ok(()) };
        // Whatever is left of earlier connections is not in the way then, if it was set for these.
        let reuse =
            socket::int(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR).context(|| "read SO_REUSEADDR")?;
        set_reuse(fd.as_fd())?;
        let again = |act: &dyn Fn() -> rustix::io::Result<()>| -> Result<()> {
            match act() {
                Err(Errno::ADDRINUSE) if inet::clear(own, None)? => match act() {
                    Err(Errno::ADDRINUSE) => Err(inet::in_use(own, "")),
                    acted => acted.context(|| format!("bind a socket to {own}")),
                },
                Err(Errno::ADDRINUSE) => Err(inet::in_use(own, "")),
                acted => acted.context(|| format!("bind a socket to {own}")),
            }
        };
        again(&|| bind(fd, &own.address()))?;
        if let Link::Listening { backlog } = link {
            again(&|| listen(fd, *backlog as i32))?;
        }
        socket::set_int(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, reuse)
            .context(|| "set SO_REUSEADDR")?;
        options::apply(fd.as_fd(), options)
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "tcp-received-lost",
        what: "what TCP sockets have received and not been read is lost",
        commit: |r| each(r, |connection| connection.received.0.clear()),
    },
    crate::resource::fault::Fault {
        name: "tcp-sent-lost",
        what: "what is on its way between TCP sockets is lost",
        commit: |r| each(r, |connection| connection.on_its_way.0.clear()),
    },
    crate::resource::fault::Fault {
        name: "tcp-sequence-wrong",
        what: "TCP sockets expect other sequence numbers than those that come",
        commit: |r| each(r, |connection| connection.read = connection.read.wrapping_add(1 << 30)),
    },
    crate::resource::fault::Fault {
        name: "tcp-half-open-again",
        what: "TCP connections that were ended are open in both directions",
        commit: |r| each(r, |connection| connection.ends = false),
    },
    crate::resource::fault::Fault {
        name: "tcp-name-lost",
        what: "TCP sockets that are not connected are bound to nothing",
        commit: |r| {
            each_socket(r, |tcp| {
                if !tcp.is_named_late() {
                    tcp.name = None;
                }
            });
        },
    },
    crate::resource::fault::Fault {
        name: "tcp-attempt-lost",
        what: "TCP sockets that are being connected are not",
        commit: |r| {
            each_socket(r, |tcp| {
                if matches!(tcp.link, Link::Connecting { .. }) {
                    tcp.link = Link::None;
                }
            });
        },
    },
    crate::resource::fault::Fault {
        name: "tcp-options-lost",
        what: "TCP sockets have the options of new ones",
        commit: |r| each_socket(r, |tcp| tcp.options.clear()),
    },
];

#[cfg(feature = "planted-faults")]
pub(super) fn each_socket(records: &mut crate::resource::Records, change: impl Fn(&mut Tcp)) {
    for inode in &mut records.inodes {
        if let Kind::Tcp(tcp) = &mut inode.kind {
            change(tcp);
        }
    }
}

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Connection)) {
    each_socket(records, |tcp| {
        if let Link::Peer { connection, .. } = &mut tcp.link {
            change(connection);
        }
    });
}
