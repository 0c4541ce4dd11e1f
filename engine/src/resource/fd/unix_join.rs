//! How unix sockets come to be again: as who made them, so that they name that as their other end,
//! with what waits to be received, and shut down as they were.

use super::socket::name::{self, Name};
use super::socket::peer::{Deputies, Peer};
use super::socket::queue::{self, Message};
use super::socket::{options, shut_down};
use super::unix::{By, Link, Unix};
use super::{JoinStage, Joined, Kind, Made, Way, unlinked};
use crate::error::{Context, Error, Result};
use rustix::net::SocketFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl Unix {
    pub(super) fn unopened(&self) -> impl Made + use<> {
        Unopened(self.clone())
    }

    pub(super) fn come_back(&self, stage: JoinStage, fd: BorrowedFd<'_>, job: &Joined<'_>) -> Result<()> {
        match stage {
            JoinStage::Connect => self.connect(fd, job),
            JoinStage::Fill => self.fill(job),
            JoinStage::Finish => self.finish(fd),
        }
    }

    /// Creates it, and what comes to be with it.
    fn open(&self, way: &Way<'_>) -> Result<OwnedFd> {
        let kind = self.socket_type();
        let pair = || -> Result<_> {
            let deputy = way.deputies()?.of(self.peer.as_ref())?;
            deputy.pair(self.kind).map(Into::into).context(|| "make a socket pair")
        };
        // The two ends of a connection to a listener that is gone.
        let met = |to: &Name, peers: [Option<&Peer>; 2]| -> Result<_> {
            let (listener, client) = (name::new(kind)?, name::new(kind)?);
            to.meet([listener.as_fd(), client.as_fd()], way.deputies()?, peers)?;
            Ok((client, accept(listener.as_fd())?))
        };
        let own = self.peer.as_ref();
        let (own, other) = match &self.link {
            Link::Peer { by: By::Pair, .. } => pair()?,
            Link::Peer { file, by: By::Connect { listener, to } } => {
                let accepted = in_records(way.kind(*file)?)?.peer.as_ref();
                match listener {
                    None => met(to, [own, accepted])?,
                    Some(index) => {
                        let (listener, client) = (way.opened(*index)?, name::new(kind)?);
                        let by = (way.deputies()?, accepted);
                        self.connect_to(in_records(way.kind(*index)?)?, listener, client.as_fd(), by)?;
                        (client, accept(listener)?)
                    }
                }
            }
            Link::Peer { .. } => return Err(Error::Conflict("a socket without its peer".into())),
            Link::Closed { peer: Some(to), .. } => met(to, [own, None])?,
            Link::Closed { accepted: true, .. } => {
                let name =
                    self.name.as_ref().ok_or_else(|| Error::Conflict("a socket without a name".into()))?;
                let (client, accepted) = met(name, [None, own])?;
                (accepted, client)
            }
            Link::Closed { .. } => pair()?,
            Link::None | Link::Listening { .. } | Link::Waiting { .. } | Link::To { .. } => {
                return name::new(kind);
            }
        };
        match &self.link {
            Link::Peer { file, .. } => way.leave(*file, other)?,
            _ => way.keep_partner(other),
        }
        Ok(own)
    }

    /// Everything that connects by name has a name.
    fn connect(&self, fd: BorrowedFd<'_>, job: &Joined<'_>) -> Result<()> {
        match &self.link {
            Link::To { name, .. } => name.connect(fd, &*job.deputies.of(None)?),
            Link::Listening { waiting, .. } => waiting.iter().try_for_each(|index| {
                let client = in_records(job.records.kind(*index))?;
                let Link::Waiting { by, .. } = &client.link else {
                    return Err(Error::Conflict("a socket that waits for nobody".into()));
                };
                client.connect_to(self, fd, (job.opened)(*index)?, (job.deputies, by.as_ref()))
            }),
            _ => Ok(()),
        }
    }

    /// Connects this one, `fd`, to a listener, as `by`. What it names is who listened when it
    /// connected: another one may have called listen(2) since.
    fn connect_to(
        &self,
        listener: &Unix,
        listens: BorrowedFd<'_>,
        fd: BorrowedFd<'_>,
        (deputies, by): (&Deputies, Option<&Peer>),
    ) -> Result<()> {
        let (Some(to), Link::Listening { backlog, .. }) = (&listener.name, &listener.link) else {
            return Err(Error::Conflict("a listener without a name".into()));
        };
        let listen_as = |peer: Option<&Peer>| -> Result<()> {
            deputies.of(peer)?.listen(listens, *backlog as i32).context(|| "listen to a socket")
        };
        let is_another = self.peer != listener.peer;
        if is_another {
            listen_as(self.peer.as_ref())?;
        }
        to.connect(fd, &*deputies.of(by)?)?;
        if is_another { listen_as(listener.peer.as_ref()) } else { Ok(()) }
    }

    /// Sends it what it has to receive.
    fn fill(&self, job: &Joined<'_>) -> Result<()> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let files = |message: &Message| -> Result<Vec<BorrowedFd<'_>>> {
            message.files.iter().map(|file| (job.opened)(*file)).collect()
        };
        let peer = match &self.link {
            Link::Peer { file, .. } => Some((job.opened)(*file)?),
            Link::Closed { .. } => job.partner,
            _ => None,
        };
        if let Some(peer) = peer {
            return queue::with_room(peer, || {
                self.queue.iter().try_for_each(|message| queue::send(peer, message, &files(message)?))
            });
        }
        let own = self
            .name
            .as_ref()
            .ok_or_else(|| Error::Conflict("a message for a socket without a name".into()))?;
        for message in &self.queue {
            let files = files(message)?;
            match message.sender {
                Some(sender) => {
                    let sender = (job.opened)(sender)?;
                    queue::with_room(sender, || own.send_to(sender, message, &files))?;
                }
                None => {
                    let sender = name::new(self.socket_type())?;
                    let from = Name { address: message.from.clone(), file: None };
                    if !message.from.0.is_empty() {
                        from.bind_anywhere(sender.as_fd())?;
                    }
                    queue::with_room(sender.as_fd(), || own.send_to(sender.as_fd(), message, &files))?;
                }
            }
        }
        Ok(())
    }

    /// Shuts down halves and sets options, with its queue filled.
    fn finish(&self, fd: BorrowedFd<'_>) -> Result<()> {
        if let Link::Closed { reset, .. } = self.link {
            if reset {
                rustix::net::send(fd, b"x", rustix::net::SendFlags::NOSIGNAL)
                    .context(|| "leave a byte unread")?;
            }
        } else {
            shut_down(fd, self.shutdown).context(|| "shut down a socket")?;
        }
        options::apply(fd, &self.options)
    }
}

/// A socket that is not open yet.
struct Unopened(Unix);

impl Made for Unopened {
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let fd = self.0.open(way)?;
        unlinked::set_flags(&fd, flags)?;
        Ok(fd)
    }

    fn adjust(&self, way: &Way<'_>, fd: &OwnedFd, _flags: i32) -> Result<()> {
        let own = self.0.name.as_ref().filter(|_| self.0.is_bound());
        own.map_or(Ok(()), |name| name.bind(fd.as_fd(), way))?;
        match self.0.link {
            Link::Listening { backlog, .. } => {
                let deputy = way.deputies()?.of(self.0.peer.as_ref())?;
                deputy.listen(fd.as_fd(), backlog as i32).context(|| "listen to a socket")
            }
            _ => Ok(()),
        }
    }
}

fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::net::accept_with(listener, SocketFlags::CLOEXEC).context(|| "accept a connection")
}

/// The record of a socket that another one refers to.
fn in_records(kind: &Kind) -> Result<&Unix> {
    match kind {
        Kind::Unix(unix) => Ok(unix),
        _ => Err(Error::Conflict("a unix socket whose peer is none".into())),
    }
}
