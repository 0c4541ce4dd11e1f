//! A TCP connection both of whose ends are in the job, or the other one of which is closed or
//! outside: what is recorded of an end, and how that is read while packets may still arrive.

use super::inet::{Ends, TcpSockets};
use super::ip::Endpoint;
use super::lock::{self, Lock};
use super::repair::{Agreed, Repaired};
use super::who_has;
use crate::error::{Context, Error, External, Problem, Result, Subject};
use crate::resource::bytes::Bytes;
use crate::resource::fd::description::{Descriptions, Descriptor};
use crate::resource::fd::external;
use crate::resource::fd::job::Established;
use crate::resource::is_default;
use crate::sys::nftables::LockId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The address of the other end.
    pub to: Endpoint,
    /// What has arrived and was not read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub received: Bytes,
    /// What the other end has sent after that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_its_way: Bytes,
    /// Whether the other end has sent the end of the stream after that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ends: bool,
    /// Sequence number of the first byte that has not arrived.
    pub read: u32,
    /// Sequence number of the first byte that has not arrived at the other end.
    pub write: u32,
    /// How many bytes after these it may receive, and send.
    pub windows: (u32, u32),
    /// What both ends agreed on.
    pub agreed: Agreed,
}

/// An end of a connection whose other end is outside the job, and has to find everything as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The address of the other end.
    pub to: Endpoint,
    /// What has arrived and was not read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub received: Bytes,
    /// Whether the end of the other stream has arrived after that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub has_met_end: bool,
    /// What was sent and not acknowledged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sent: Bytes,
    /// What was written after that, and not sent yet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unsent: Bytes,
    /// Whether it has ended its stream after that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub has_ended: bool,
    /// Sequence number of the first byte that has not arrived.
    pub read: u32,
    /// Sequence number of the first byte that was not acknowledged.
    pub write: u32,
    /// How many bytes after these it may receive, and send.
    pub windows: (u32, u32),
    /// What both ends agreed on.
    pub agreed: Agreed,
    /// The clock of its timestamps, if it has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<u32>,
    /// What keeps its packets away while no process has it; none if the job was not killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockId>,
}

/// include/net/tcp_states.h
pub mod state {
    /// It has asked for a connection.
    pub const SYN_SENT: u8 = 2;
    /// It was asked for one.
    pub const SYN_RECV: u8 = 3;
    /// It has sent the end of its stream.
    pub const FIN_WAIT1: u8 = 4;
    /// The other one has received that.
    pub const FIN_WAIT2: u8 = 5;
    /// It is not connected.
    pub const CLOSE: u8 = 7;
    /// It has received the end of the other stream.
    pub const CLOSE_WAIT: u8 = 8;
    /// It has received that, and sent its own.
    pub const LAST_ACK: u8 = 9;
    /// It waits for connections.
    pub const LISTEN: u8 = 10;
    /// It has sent its own, and received that.
    pub const CLOSING: u8 = 11;

    /// Whether an end in this state has sent the end of its stream.
    pub fn has_ended(state: u8) -> bool {
        matches!(state, FIN_WAIT1 | FIN_WAIT2 | CLOSING | LAST_ACK)
    }

    /// Whether it has received that of the other one.
    pub fn has_met_end(state: u8) -> bool {
        matches!(state, CLOSE_WAIT | CLOSING | LAST_ACK)
    }
}

/// The other end of a connection.
pub enum Other {
    /// An open file description of the job.
    Inside(usize),
    /// Nobody has it.
    Closed,
    /// A process outside has it.
    Outside,
}

/// A connection that is being looked at.
pub struct Looked<'a, 'b> {
    /// Its open file description.
    pub file: usize,
    /// A descriptor of it.
    pub descriptor: &'a Descriptor,
    /// For messages.
    pub at: &'a Subject,
    /// All open file descriptions of the job.
    pub all: &'a Descriptions<'b>,
    /// The address of the other end.
    pub to: Endpoint,
}

/// How often both ends are read until what they say fits together.
const ATTEMPTS: u32 = 20;

impl Looked<'_, '_> {
    /// Looks who has the other end of a connection between `ends`, whose state this is.
    ///
    /// # Errors
    /// *unsupported* for one that cannot be saved.
    pub fn other(&self, ends: Ends, state: u8, sockets: &TcpSockets) -> Result<Other> {
        let Looked { file, descriptor, at, all, to } = self;
        let refuse = |why: String| Err(Error::unsupported(Problem::of((*at).clone(), why)));
        let outside = |why: String| {
            if all.established() != Established::Refused {
                return Ok(Other::Outside);
            }
            let why = format!("{why}; or pass --tcp-established{}", external::advice(&descriptor.name()));
            Err(Error::unsupported(Problem::external((*at).clone(), External::SocketPeer, why)))
        };
        match sockets.peer(ends).map(|ino| (ino, all.socket(ino))) {
            Some((_, Some(peer))) if peer == *file => refuse(
                " is a TCP socket that is connected to itself, which cannot be saved; close it first".into(),
            ),
            Some((_, Some(peer))) => Ok(Other::Inside(peer)),
            Some((ino, None)) => outside(format!(
                " is a TCP connection to {to}, of a process outside the job{}: save a tree that contains both, or close it first",
                who_has(ino)
            )),
            None if !to.is_own()? => {
                outside(format!(" is a TCP connection to {to}, outside this machine: close it first"))
            }
            None if state == state::CLOSE_WAIT => Ok(Other::Closed),
            None => refuse(format!(" is a TCP connection to {to}, whose other end is closed; close it, too")),
        }
    }

    /// Reads an end: what it receives, and where what it sends begins. `peer` is the open file
    /// description of the other one, unless that is closed.
    ///
    /// # Errors
    /// *unsupported* for one whose data does not come to rest; what the kernel reports.
    pub fn read(&self, peer: Option<usize>) -> Result<Connection> {
        let peer = peer.map(|peer| (peer, self.all.descriptor(peer)));
        self.until_at_rest(|| self.try_read(peer.as_ref()))
    }

    /// Reads an end whose other end is outside, and may be kept away by a lock.
    ///
    /// # Errors
    /// As [`Looked::read`]; *vanished* for one that has just ended.
    pub fn read_outside(&self, lock: Option<LockId>) -> Result<Outside> {
        self.until_at_rest(|| self.try_read_outside(lock))
    }

    /// Locks all connections of the job to outside, of which this is one, if it is to be killed.
    ///
    /// # Errors
    /// *unsupported* if the kernel has no nf_tables; as [`Lock::take`].
    pub fn lock(&self, sockets: &TcpSockets) -> Result<Option<LockId>> {
        let Looked { all, at, .. } = *self;
        if all.established() != Established::Locked {
            return Ok(None);
        }
        let taken = all.network().lock(|| {
            let is_inside = |ends: Ends| sockets.peer(ends).is_some_and(|ino| all.socket(ino).is_some());
            let ours = sockets.by_ino.iter().filter(|(ino, socket)| {
                !matches!(socket.state, state::LISTEN | state::SYN_SENT)
                    && !is_inside(socket.ends)
                    && all.socket(**ino).is_some()
            });
            let process = *all.processes().first().expect("it has one with a socket");
            Lock::take(process, &ours.map(|(_, socket)| socket.ends).collect::<Vec<_>>())
        });
        match taken {
            Err(err) if lock::is_unavailable(&err) => {
                let why = " is a TCP connection to outside, which is kept without its process by nf_tables (CONFIG_NF_TABLES_INET), and this kernel has none; omit --kill, and end the connection at the restart with --tcp-close";
                Err(Error::unsupported(Problem::of(at.clone(), why)))
            }
            taken => taken.map(|lock| Some(lock.id)),
        }
    }

    fn until_at_rest<T>(&self, mut read: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(1 << attempt.min(5)));
            }
            if let Some(connection) = read()? {
                return Ok(connection);
            }
        }
        let why = " is a TCP connection whose data moves although both ends are stopped, or has urgent data on its way; try again";
        Err(Error::unsupported_now(Problem::of(self.at.clone(), why)))
    }

    /// `None` if something has changed meanwhile: packets arrive although all processes are
    /// stopped.
    fn try_read(&self, peer: Option<&(usize, Descriptor)>) -> Result<Option<Connection>> {
        let what = || format!("{}: read a TCP connection", self.at);
        // First what was sent, so that whatever arrives meanwhile is in there, too.
        let mut sent = Vec::new();
        let mut sent_to = None;
        let mut ends = true;
        if let Some((_, peer)) = peer {
            let repaired = Repaired::begin(peer)?;
            let (bytes, end) = repaired.sent().context(what)?;
            let (state, _) = repaired.info().context(what)?;
            repaired.end()?;
            ends = state::has_ended(state);
            sent = bytes;
            sent_to = Some(end.wrapping_sub(ends.into()));
        }
        let repaired = Repaired::begin(self.descriptor)?;
        let look = || -> std::io::Result<_> { Ok((repaired.receiving()?, repaired.info()?)) };
        let before = look().context(what)?;
        let received = repaired.received().context(what)?;
        let after = look().context(what)?;
        let mss = repaired.mss().context(what)?;
        repaired.end()?;
        let ([next, edge], (state, agreed)) = before;
        let (mut bytes, waiting) = received;
        if before != after || bytes.len() != waiting {
            return Ok(None);
        }
        let arrived = next.wrapping_sub(state::has_met_end(state).into());
        if let Some(sent_to) = sent_to {
            let left = sent_to.wrapping_sub(arrived) as usize;
            let all_arrived = left == 0 || !state::has_met_end(state);
            if left > sent.len() || !all_arrived {
                return Ok(None);
            }
            bytes.extend(&sent[sent.len() - left..]);
        }
        let [read, edge] = self.all.network().note(self.file, || Ok([arrived, edge]))?;
        let begin = arrived.wrapping_sub(waiting as u32);
        let on_its_way = bytes.split_off(read.wrapping_sub(begin) as usize);
        let [write, peer_edge] = match peer {
            Some((file, peer)) => self.all.network().note(*file, || {
                let repaired = Repaired::begin(peer)?;
                let look = || -> std::io::Result<_> { Ok((repaired.receiving()?, repaired.info()?.0)) };
                let mut seen = look().context(what)?;
                loop {
                    let again = look().context(what)?;
                    if again == seen {
                        break;
                    }
                    seen = again;
                }
                repaired.end()?;
                let ([next, edge], state) = seen;
                Ok([next.wrapping_sub(state::has_met_end(state).into()), edge])
            })?,
            None => {
                let repaired = Repaired::begin(self.descriptor)?;
                let written = repaired.sent();
                repaired.end()?;
                let (_, written) = written.context(what)?;
                [written, written.wrapping_add(u16::MAX.into())]
            }
        };
        let room = |edge: u32, next: u32| (edge.wrapping_sub(next) as i32).max(0) as u32;
        Ok(Some(Connection {
            to: self.to,
            received: Bytes(bytes),
            on_its_way: Bytes(on_its_way),
            ends,
            read,
            write,
            windows: (room(edge, read), room(peer_edge, write)),
            agreed: Agreed { mss, ..agreed },
        }))
    }

    /// `None` if something has changed meanwhile.
    fn try_read_outside(&self, lock: Option<LockId>) -> Result<Option<Outside>> {
        let what = || format!("{}: read a TCP connection", self.at);
        let repaired = Repaired::begin(self.descriptor)?;
        let look = || -> std::io::Result<_> {
            let sending = (repaired.unacknowledged()?, repaired.send_window()?);
            Ok((repaired.receiving()?, sending, repaired.info()?))
        };
        let before = look().context(what)?;
        let (received, waiting) = repaired.received().context(what)?;
        let (mut queued, written) = repaired.sent().context(what)?;
        let (mss, clock) = (repaired.mss().context(what)?, repaired.clock().context(what)?);
        let after = look().context(what)?;
        repaired.end()?;
        let ([next, edge], ((unacknowledged, unsent), send_window), (state, agreed)) = before;
        if state == state::CLOSE {
            return Err(Error::Vanished(format!("{}: its connection has just ended", self.at)));
        }
        // The end of its stream has a sequence number, too, after all bytes.
        let has_ended = state::has_ended(state);
        let bytes = |numbers: usize| numbers - usize::from(has_ended && numbers > 0);
        if before != after || received.len() != waiting || queued.len() < bytes(unacknowledged) {
            return Ok(None);
        }
        queued.drain(..queued.len() - bytes(unacknowledged));
        let unsent = queued.split_off(queued.len() - bytes(unsent));
        // One that was acknowledged is sent again.
        let end_again = u32::from(has_ended && unacknowledged == 0);
        let has_met_end = state::has_met_end(state);
        let read = next.wrapping_sub(has_met_end.into());
        Ok(Some(Outside {
            to: self.to,
            received: Bytes(received),
            has_met_end,
            sent: Bytes(queued),
            unsent: Bytes(unsent),
            has_ended,
            read,
            write: written.wrapping_sub(unacknowledged as u32).wrapping_sub(end_again),
            windows: ((edge.wrapping_sub(read) as i32).max(0) as u32, send_window),
            agreed: Agreed { mss, ..agreed },
            clock: agreed.timestamps.then_some(clock),
            lock,
        }))
    }
}
