//! Unix sockets: streams, datagrams and sequenced packets, whose peers are in the job.
//!
//! A connection that connect(2) made is made that way again, so that both ends have the names they
//! had; that of a listener that is gone where nobody else sees it. Messages that wait are looked at
//! with `MSG_PEEK`, and sent again by the peer.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::socket::diag::UnixSocket;
use super::socket::name::{self, Name};
use super::socket::options::{self, SocketOption};
use super::socket::peer::Peer;
use super::socket::queue::{self, Looked, Message, Queue};
use super::socket::{Created, poll, who_has};
use super::{Identity, JoinStage, Joined, Kind, Made, Reference, Verbs, Way, external};
use crate::error::{Context, Error, External, Problem, Result, Subject};
use crate::resource::bytes::Bytes;
use crate::resource::is_default;
use crate::sys::socket;
use rustix::event::PollFlags;
use rustix::net::SocketType;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd};

/// The state of a unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unix {
    /// `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_SEQPACKET`
    pub kind: i32,
    /// What it is bound to, or has of its listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// What it is connected to.
    pub link: Link,
    /// Whom it names as the other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// What waits to be received.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<Message>,
    /// Halves that are shut down: `RCV_SHUTDOWN` 1, `SEND_SHUTDOWN` 2.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shutdown: u8,
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
        /// The open file descriptions of clients that it has not accepted yet, in their order.
        waiting: Vec<usize>,
    },
    /// Another socket, connected to this one.
    Peer {
        /// Its open file description.
        file: usize,
        /// How the connection comes to be.
        by: By,
    },
    /// One that is closed.
    Closed {
        /// The name of the listener that accepted it, if it has one.
        peer: Option<Name>,
        /// Whether this one was accepted.
        accepted: bool,
        /// Whether it was closed with messages that it had not received.
        reset: bool,
    },
    /// A listener that has not accepted it yet.
    Waiting {
        /// Its open file description.
        listener: usize,
        /// Whom the socket will name that accepts it: it is not to be seen who has connected, so
        /// that is the process which has this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Peer>,
    },
    /// A socket that gets its datagrams.
    To {
        /// Its open file description.
        file: usize,
        /// Its name.
        name: Name,
    },
}

/// Which end makes a connection, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// This one, with socketpair(2).
    Pair,
    /// This one, by connect(2) to the name of the other, which accepts it.
    Connect {
        /// The listener; `None` if it is gone.
        listener: Option<usize>,
        /// Its name.
        to: Name,
    },
    /// The other one, with socketpair(2).
    Peer,
    /// The other one, by connect(2); this one was accepted.
    Accepted,
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    seen.socket_that(|created| created.family == libc::AF_UNIX).map(|created| {
        let Created { kind, .. } = created?;
        Ok(Kind::Unix(Unix {
            kind,
            name: None,
            link: Link::None,
            peer: None,
            queue: Vec::new(),
            shutdown: 0,
            options: Vec::new(),
        }))
    })
}

impl Unix {
    fn created(&self) -> Created {
        Created { family: libc::AF_UNIX, kind: self.kind, protocol: 0 }
    }

    pub(super) fn socket_type(&self) -> SocketType {
        SocketType::from_raw(self.kind as u32)
    }

    fn is_datagram(&self) -> bool {
        self.kind == libc::SOCK_DGRAM
    }

    /// Whether the name is its own, and not that of the listener that accepted it.
    pub(super) fn is_bound(&self) -> bool {
        match &self.link {
            Link::Peer { by, .. } => *by != By::Accepted,
            Link::Closed { accepted, .. } => !accepted,
            _ => true,
        }
    }

    /// Finds out how a connection between this socket and `peer` came to be.
    fn settle_pair(&self, pair: &Pair<'_>, all: &Descriptions<'_>, at: &Subject) -> Result<By> {
        let sockets = all.network().unix()?;
        let Pair { own, other, file, peer } = *pair;
        if self.is_datagram() {
            return Ok(if file < peer { By::Pair } else { By::Peer });
        }
        let of = |socket: &UnixSocket| sockets.listener(socket).map(|ino| all.socket(ino));
        match (of(own), of(other)) {
            (Some(_), None) => return Ok(By::Accepted),
            (None, Some(listener)) => {
                let to = self.name_of_peer(peer, other, all)?;
                // To one without a file nobody can connect.
                let listener = listener.filter(|_| to.is_reachable());
                return Ok(By::Connect { listener, to });
            }
            (Some(_), Some(_)) => return Err(ambiguous(at)),
            (None, None) => {}
        }
        let accepted = |socket: &UnixSocket| -> Result<bool> {
            Ok(!socket.name.is_empty() && !is_own(socket, self.socket_type())?)
        };
        Ok(match (accepted(own)?, accepted(other)?) {
            (false, false) if file < peer => By::Pair,
            (false, false) => By::Peer,
            (true, false) => By::Accepted,
            (false, true) => By::Connect { listener: None, to: self.name_of_peer(peer, other, all)? },
            (true, true) => return Err(ambiguous(at)),
        })
    }

    fn name_of_peer(&self, peer: usize, shown: &UnixSocket, all: &Descriptions<'_>) -> Result<Name> {
        let descriptor = all.descriptor(peer);
        let name =
            Name::capture(descriptor.duplicate()?.as_fd(), shown, descriptor.process, &descriptor.at())?;
        name.ok_or_else(|| Error::Conflict("a socket has lost its name".into()))
    }
}

/// Whether a name is in use: then it is the socket's own, and no listener's that is gone. Of a path
/// that cannot be told, and makes no difference.
fn is_own(shown: &UnixSocket, kind: SocketType) -> Result<bool> {
    if shown.name.first() != Some(&0) {
        return Ok(false);
    }
    let probe = name::new(kind)?;
    match rustix::net::bind(&probe, &queue::address(&shown.name)?) {
        Err(rustix::io::Errno::ADDRINUSE) => Ok(true),
        bound => bound.map(|()| false).context(|| "look whether the name of a socket is in use"),
    }
}

fn ambiguous(at: &Subject) -> Error {
    let why = " is a connection both of whose ends have a name, and it cannot be told which one has connected; close it first";
    Error::unsupported(Problem::of(at.clone(), why))
}

/// Both ends of a connection: what is shown of them, and their open file descriptions.
struct Pair<'a> {
    own: &'a UnixSocket,
    other: &'a UnixSocket,
    file: usize,
    peer: usize,
}

impl Verbs for Unix {
    fn name(&self) -> &'static str {
        "unix socket"
    }

    fn title(&self, index: usize) -> String {
        match &self.name {
            Some(name) => format!("unix socket {}", name.describe()),
            None => format!("unix socket {index}"),
        }
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn keeps_offset(&self) -> bool {
        false
    }

    fn refers_to(&self) -> Vec<Reference> {
        let linked = match &self.link {
            Link::Peer { file, by: By::Connect { listener, .. } } => vec![Some(*file), *listener],
            Link::Peer { file, .. } | Link::To { file, .. } => vec![Some(*file)],
            Link::Waiting { listener, .. } => vec![Some(*listener)],
            Link::Listening { waiting, .. } => waiting.iter().copied().map(Some).collect(),
            Link::None | Link::Closed { .. } => Vec::new(),
        };
        let messages = self.queue.iter();
        let sent = messages.flat_map(|message| message.files.iter().copied().chain(message.sender));
        linked.into_iter().flatten().chain(sent).map(Reference::File).collect()
    }

    fn capture(&mut self, descriptors: &[Descriptor], all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let at = descriptor.at().leading_to(descriptor.name());
        let refuse = |why: &str| Err(Error::unsupported(Problem::of(at.clone(), why)));
        let outside = |why: String| {
            let why = format!("{why}{}", external::advice(&descriptor.name()));
            Err(Error::unsupported(Problem::external(at.clone(), External::SocketPeer, why)))
        };
        let fd = descriptor.duplicate()?;
        let ino = descriptor.inode()? as u32;
        let sockets = all.network().unix()?;
        let Some(shown) = sockets.by_ino.get(&ino) else {
            return refuse(
                " is a unix socket of another network namespace, which cannot be saved yet; close it first",
            );
        };
        let file = all.socket(ino).expect("it has a descriptor");
        self.name = Name::capture(fd.as_fd(), shown, descriptor.process, &at)?;
        self.shutdown = shown.shutdown;
        let new = all.network().new_socket(self.created())?;
        self.options = options::capture(fd.as_fd(), &new, &[], &at)?;
        let state = poll(fd.as_fd()).context(|| format!("{at}: poll"))?;
        if state.contains(PollFlags::PRI) {
            return refuse(
                " is a socket with an urgent byte (MSG_OOB) that was not received; receive it first",
            );
        }
        self.peer =
            Peer::of_socket(fd.as_fd()).context(|| format!("{at}: read whom it names (SO_PEERCRED)"))?;
        // Two datagram sockets that have connected to each other by name.
        let crossed = self.is_datagram() && self.peer.is_none();
        self.link = if shown.listens {
            let waiting: Option<Vec<usize>> =
                shown.waiting.iter().map(|client| all.socket(*client)).collect();
            let Some(waiting) = waiting else {
                return outside(" is a socket with a connection that waits to be accepted, from outside the job or closed since; accept it first".into());
            };
            if !waiting.is_empty() && self.name.as_ref().is_some_and(|name| !name.is_reachable()) {
                return refuse(
                    " is a socket whose file was removed, with connections that wait to be accepted; accept them first",
                );
            }
            Link::Listening { backlog: shown.backlog, waiting }
        } else if let Some(listener) = sockets.waits_for.get(&ino) {
            let Some(file) = all.socket(*listener) else {
                return outside(format!(
                    " is a socket that waits to be accepted by a process outside the job{}; wait until it is connected",
                    who_has(*listener)
                ));
            };
            let sent = socket::outq(fd.as_fd()).context(|| format!("{at}: read what was sent"))?;
            if sent != 0 || shown.shutdown != 0 {
                return refuse(
                    " is a socket that has sent data to one that was not accepted yet, where it cannot be read; accept the connection first",
                );
            }
            Link::Waiting { listener: file, by: Some(Peer::of_process(descriptor.process.pid)?) }
        } else if let Some(peer_ino) = shown.peer.filter(|peer| *peer != 0) {
            let Some(peer) = all.socket(peer_ino) else {
                return outside(format!(
                    " is a socket connected to a process outside the job{}: save a tree that contains both",
                    who_has(peer_ino)
                ));
            };
            let other = sockets.by_ino.get(&peer_ino).cloned().unwrap_or_default();
            if other.peer == Some(ino) && peer != file && !crossed {
                let by = self.settle_pair(&Pair { own: shown, other: &other, file, peer }, all, &at)?;
                Link::Peer { file: peer, by }
            } else {
                let name = self.name_of_peer(peer, &other, all)?;
                if !name.is_reachable() {
                    return refuse(" is a socket connected to one whose file was removed; close it first");
                }
                Link::To { file: peer, name }
            }
        } else if shown.peer.is_some() && self.is_datagram() {
            return refuse(" is a datagram socket connected to one that is closed; close it first");
        } else if shown.peer.is_some() {
            let peer = queue::peer_name(fd.as_fd()).context(|| format!("{at}: read name of peer"))?;
            let peer = (!peer.is_empty()).then_some(Name { address: Bytes(peer), file: None });
            let accepted = peer.is_none() && self.name.is_some() && !is_own(shown, self.socket_type())?;
            let reset = state.contains(PollFlags::ERR);
            Link::Closed { peer, accepted, reset }
        } else {
            Link::None
        };
        if !shown.listens {
            let kind = self.kind;
            let looked = Queue { fd: fd.as_fd(), descriptor, kind, state }.look()?;
            self.queue =
                looked.into_iter().map(|looked| identify(looked, all, &at)).collect::<Result<_>>()?;
        }
        if !self.is_bound()
            && let Some(name) = &mut self.name
        {
            // That of the listener.
            name.file = None;
        }
        let unreachable = self.name.as_ref().is_some_and(|name| !name.is_reachable());
        if unreachable && !self.queue.is_empty() && matches!(self.link, Link::None | Link::To { .. }) {
            return refuse(
                " is a datagram socket whose file was removed, with datagrams in its queue; receive them first",
            );
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        let kinds = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET];
        let datagrams = matches!(self.link, Link::To { .. });
        let streams =
            matches!(self.link, Link::Listening { .. } | Link::Waiting { .. } | Link::Closed { .. });
        let named = self.name.is_some() || !matches!(self.link, Link::Listening { .. });
        let right = if self.is_datagram() { !streams } else { !datagrams };
        if !kinds.contains(&self.kind) || !right || !named || self.shutdown > 3 {
            return Err("an invalid unix socket".into());
        }
        let to = match &self.link {
            Link::Peer { by: By::Connect { to, .. }, .. } => Some(to),
            Link::Closed { peer, .. } => peer.as_ref(),
            _ => None,
        };
        self.name.iter().chain(to).try_for_each(Name::validate)
    }

    fn examine(&self) -> Result<()> {
        let own = self.name.as_ref().filter(|_| self.is_bound());
        own.map_or(Ok(()), |name| name.examine(self.socket_type()))
    }

    fn opened_after(&self) -> Option<usize> {
        match &self.link {
            Link::Peer { file, by: By::Peer | By::Accepted } => Some(*file),
            Link::Peer { by: By::Connect { listener, .. }, .. } => *listener,
            _ => None,
        }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        Ok(Box::new(self.unopened()))
    }

    fn enables_async_late(&self) -> bool {
        true
    }

    fn has_partner(&self) -> bool {
        matches!(self.link, Link::Closed { .. })
    }

    fn joins(&self) -> bool {
        true
    }

    fn join(&self, stage: JoinStage, fd: BorrowedFd<'_>, job: &Joined<'_>) -> Result<()> {
        self.come_back(stage, fd, job)
    }
}

/// Finds the open file descriptions that a message carries, and its sender.
fn identify(looked: Looked, all: &Descriptions<'_>, at: &Subject) -> Result<Message> {
    let Looked { mut message, descriptors } = looked;
    let refuse = |why: &str| Err(Error::unsupported(Problem::of(at.clone(), why)));
    for fd in descriptors {
        let meta = rustix::fs::fstat(&fd).context(|| format!("{at}: stat a descriptor in its queue"))?;
        let found = all
            .find_own(fd.as_fd(), meta.st_ino)
            .context(|| format!("{at}: compare a descriptor in its queue"))?;
        let Some(file) = found else {
            return refuse(
                " is a socket with a descriptor in its queue (SCM_RIGHTS) that no process of the job has open; receive it first",
            );
        };
        message.files.push(file);
    }
    if message.credentials.is_some_and(|(pid, ..)| !all.has_process(pid)) {
        return refuse(
            " is a socket with a message of a process outside the job, or one that is gone, and says whose it is (SO_PASSCRED); receive it first",
        );
    }
    if !message.from.0.is_empty() {
        message.sender = all.network().unix()?.named(&message.from.0).find_map(|ino| all.socket(ino));
    }
    Ok(message)
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "socket-queue-lost",
        what: "what waits in unix sockets is lost",
        commit: |r| each(r, |unix| unix.queue.clear()),
    },
    crate::resource::fault::Fault {
        name: "socket-byte-changed",
        what: "a byte in the queue of a unix socket changes",
        commit: |r| {
            each(r, |unix| {
                if let Some(byte) = unix.queue.last_mut().and_then(|message| message.data.0.last_mut()) {
                    *byte ^= 1;
                }
            });
        },
    },
    crate::resource::fault::Fault {
        name: "socket-descriptors-lost",
        what: "messages in unix sockets carry no descriptors",
        commit: |r| each(r, |unix| unix.queue.iter_mut().for_each(|message| message.files.clear())),
    },
    crate::resource::fault::Fault {
        name: "socket-name-lost",
        what: "unix sockets without a listener's name have none",
        commit: |r| {
            each(r, |unix| {
                if matches!(unix.link, Link::None) {
                    unix.name = None;
                }
            });
        },
    },
    crate::resource::fault::Fault {
        name: "socket-half-open-again",
        what: "unix sockets that were shut down are open in both directions",
        commit: |r| each(r, |unix| unix.shutdown = 0),
    },
    crate::resource::fault::Fault {
        name: "socket-peer-forgotten",
        what: "unix sockets name the restart as their other end",
        commit: |r| each(r, |unix| unix.peer = None),
    },
    crate::resource::fault::Fault {
        name: "socket-options-lost",
        what: "unix sockets have the options of new ones",
        commit: |r| each(r, |unix| unix.options.clear()),
    },
];

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Unix)) {
    for inode in &mut records.inodes {
        if let Kind::Unix(unix) = &mut inode.kind {
            change(unix);
        }
    }
}
