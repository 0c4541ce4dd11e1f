//! TCP connections to processes outside the job: what keeps their packets away while the job is not
//! there, and how an end comes back that the other one takes for the same.

use super::Kind;
use super::socket::connection::Outside;
use super::socket::inet::{self, Ends};
use super::socket::inject;
use super::socket::lock::{self, Held};
use super::socket::repair::{self, End};
use super::socket::{await_event, options, queue};
use super::tcp::{Link, Tcp};
use super::{JoinStage, Verbs};
use crate::error::{Context, Error, Result};
use crate::resource::Records;
use crate::resource::bytes::Bytes;
use crate::sys::nftables::LockId;
use rustix::event::PollFlags;
use rustix::net::{Shutdown, shutdown};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl Tcp {
    /// *join* of a connection to outside: the other end has its state, and learns of nothing.
    pub(super) fn rejoin(&self, stage: JoinStage, fd: BorrowedFd<'_>, outside: &Outside) -> Result<()> {
        match stage {
            JoinStage::Connect => {
                options::apply(fd, &self.options)?;
                self.reconnect(fd, outside, &outside.received.0)
            }
            JoinStage::Fill => repair::end(fd),
            JoinStage::Finish => {
                if outside.has_met_end {
                    self.meet_end(fd, outside)?;
                }
                queue::send_all(fd, &outside.unsent.0)?;
                if outside.has_ended {
                    shutdown(fd, Shutdown::Write).context(|| "end a TCP stream")?;
                }
                if self.deaf {
                    shutdown(fd, Shutdown::Read).context(|| "shut down a TCP socket")?;
                }
                options::apply(fd, &self.options)
            }
        }
    }

    /// Makes the end of a connection to outside that the job has no more. What is in its queue
    /// goes out by itself.
    fn part(&self) -> Result<OwnedFd> {
        let fd = self.create()?;
        if let Link::Outside(outside) = &self.link {
            self.reconnect(fd.as_fd(), outside, &[])?;
            repair::end(fd.as_fd())?;
            queue::send_all(fd.as_fd(), &outside.unsent.0)?;
        }
        Ok(fd)
    }

    /// Makes its end, and leaves it in repair.
    fn reconnect(&self, fd: BorrowedFd<'_>, outside: &Outside, received: &[u8]) -> Result<()> {
        let Outside { to, read, write, agreed, windows: (read_window, write_window), .. } = *outside;
        let own = self.own()?;
        let end = End { own, other: to, write, read, received, write_window, read_window, agreed };
        repair::connect(fd, &end, || inet::clear(own, Some(to)))?;
        outside.clock.map_or(Ok(()), |clock| repair::set_clock(fd, clock))?;
        repair::resend(fd, &outside.sent.0)
    }

    /// Lets it receive the end of the other stream, which the other one does not send again.
    fn meet_end(&self, fd: BorrowedFd<'_>, outside: &Outside) -> Result<()> {
        let Outside { to, read, write, windows: (_, window), agreed, .. } = *outside;
        let by = agreed.scales.map_or(0, |(send, _)| send);
        let window = (window >> by).min(u16::MAX.into()) as u16;
        let mark = outside.lock.map_or(0, LockId::mark);
        inject::end_stream((to, self.own()?), [read, write], window, mark)?;
        await_event(fd, PollFlags::RDHUP).context(|| format!("end the stream from {to}"))
    }
}

/// What a restart does with connections to outside.
#[derive(Debug, Default)]
pub struct Leaving {
    locks: Vec<Held>,
    /// Those whose other ends are to be told that the stream ends.
    farewells: Vec<Tcp>,
}

impl Leaving {
    /// Takes the locks of connections that come back, so that nothing arrives before they are
    /// whole. With `close`, the records are changed: the job's connections are reset.
    ///
    /// # Errors
    /// *conflict* for a connection that has gone on since the checkpoint; what the kernel reports.
    pub fn begin(records: &mut Records, close: bool) -> Result<Leaving> {
        let mut leaving = Leaving::default();
        let mut locked: BTreeMap<LockId, Vec<Ends>> = BTreeMap::new();
        for (index, inode) in records.inodes.iter_mut().enumerate() {
            let Kind::Tcp(tcp) = &mut inode.kind else { continue };
            let Link::Outside(outside) = &mut tcp.link else { continue };
            let own =
                tcp.name.ok_or_else(|| Error::Conflict("a TCP connection without an address".into()))?;
            let (to, lock) = (outside.to, outside.lock);
            let received = Bytes(outside.received.0.clone());
            if let Some(lock) = lock {
                locked.entry(lock).or_default().push((own, to));
            }
            if close {
                // Elsewhere nobody can speak for it.
                if lock.is_some() && own.is_own()? {
                    leaving.farewells.push(tcp.clone());
                }
                tcp.link = Link::Reset { received };
            } else if lock.is_none() {
                return Err(Error::Conflict(format!(
                    "{}: leads outside, and has gone on after the checkpoint, which was taken without --kill: pass --tcp-close, and the job finds it reset",
                    tcp.title(index)
                )));
            }
        }
        for (id, connections) in locked {
            leaving.locks.push(Held::take(id, &connections)?);
        }
        Ok(leaving)
    }

    /// All is done: removes the locks, and asks the other ends of `connections` to go on.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn end(self, connections: &[OwnedFd]) -> Result<()> {
        let parting = self.farewells.iter().map(Tcp::part).collect::<Result<Vec<_>>>()?;
        self.locks.into_iter().try_for_each(Held::end)?;
        connections.iter().chain(&parting).try_for_each(|fd| repair::probe(fd.as_fd()))?;
        // Before what the other end sends finds them closed, which is answered by a reset.
        parting.iter().try_for_each(|fd| shutdown(fd, Shutdown::Write).context(|| "end a TCP stream"))
    }
}

/// Removes all locks of a file; how many there were.
///
/// # Errors
/// What the kernel reports.
pub fn unlock(records: &Records) -> Result<usize> {
    let mut locks: Vec<LockId> =
        records.inodes.iter().filter_map(|inode| inode.kind.verbs().lock()).collect();
    locks.sort_unstable();
    locks.dedup();
    let mut removed = 0;
    for id in locks {
        removed += usize::from(lock::end(id)?);
    }
    Ok(removed)
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "tcp-outside-received-lost",
        what: "what connections to outside have received and not been read is lost",
        commit: |r| each(r, |outside| outside.received.0.clear()),
    },
    crate::resource::fault::Fault {
        name: "tcp-outside-sent-lost",
        what: "what was written to connections to outside and not acknowledged is lost",
        commit: |r| {
            each(r, |outside| {
                outside.sent.0.clear();
                outside.unsent.0.clear();
            });
        },
    },
    crate::resource::fault::Fault {
        name: "tcp-outside-sequence-wrong",
        what: "connections to outside expect other sequence numbers than those that come",
        commit: |r| each(r, |outside| outside.read = outside.read.wrapping_add(1 << 30)),
    },
    crate::resource::fault::Fault {
        name: "tcp-outside-end-lost",
        what: "connections from outside that were ended are open again",
        commit: |r| each(r, |outside| outside.has_met_end = false),
    },
    crate::resource::fault::Fault {
        name: "tcp-outside-clock-lost",
        what: "timestamps of connections to outside begin anew",
        commit: |r| each(r, |outside| outside.clock = outside.clock.map(|clock| clock.wrapping_sub(1 << 30))),
    },
];

#[cfg(feature = "planted-faults")]
fn each(records: &mut Records, change: impl Fn(&mut Outside)) {
    super::tcp::each_socket(records, |tcp| {
        if let Link::Outside(outside) = &mut tcp.link {
            change(outside);
        }
    });
}
