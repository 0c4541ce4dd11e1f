//! Whom a unix socket names as its other end (`SO_PEERCRED`, `SO_PEERGROUPS`): the process that
//! made the pair, that listens, or that has connected, and what that called itself then, whoever
//! has the other end by now.

use crate::error::{Context, Result};
use crate::proc::status;
use crate::resource::fd::Kind;
use crate::resource::{Records, is_default};
use crate::sys::deputy::{Deputy, Ids};
use crate::sys::socket;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

/// A process and its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// Its PID; it may be gone. 0 in another PID namespace.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its supplementary groups.
    #[serde(default, skip_serializing_if = "is_default")]
    pub groups: Vec<u32>,
}

impl Peer {
    /// The one that a socket names; `None` if it names nobody.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn of_socket(fd: BorrowedFd<'_>) -> io::Result<Option<Peer>> {
        let shown = socket::option(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, 12)?;
        let (words, _) = shown.as_chunks();
        let [pid, uid, gid] = words else { return Err(io::Error::other("credentials of another size")) };
        if u32::from_ne_bytes(*uid) == u32::MAX {
            return Ok(None);
        }
        let (pid, groups) = (i32::from_ne_bytes(*pid), groups(fd)?);
        Ok(Some(Peer { pid, uid: u32::from_ne_bytes(*uid), gid: u32::from_ne_bytes(*gid), groups }))
    }

    /// The one that a socket which this process connects now would name.
    ///
    /// # Errors
    /// *vanished*.
    pub fn of_process(pid: i32) -> Result<Peer> {
        let status = status::of_thread(pid, pid)?;
        let groups = status.groups;
        Ok(Peer { pid, uid: status.euid, gid: status.egid, groups })
    }
}

/// `SO_PEERGROUPS`, Linux 4.13.
fn groups(fd: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    const PEERGROUPS: i32 = 59;
    /// Bytes for a few, and for as many as there can be (`NGROUPS_MAX`).
    const ROOM: [usize; 2] = [64, 4 << 16];
    let read = |room| socket::option(fd, libc::SOL_SOCKET, PEERGROUPS, room);
    let shown = match read(ROOM[0]) {
        Err(err) if err.raw_os_error() == Some(libc::ERANGE) => read(ROOM[1])?,
        shown => shown?,
    };
    Ok(shown.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect())
}

/// Descriptors of ours that there may be for deputies at a time: three for each, of which two more
/// may be in use when others are dismissed.
pub const DESCRIPTORS: i32 = 3 * (MOST as i32 + 2);
/// How many there are at a time.
const MOST: usize = 8;

/// Children that make sockets as the processes that are to be named; before these are created,
/// whose PIDs they have.
#[derive(Debug, Default)]
pub struct Deputies(RefCell<HashMap<Option<Peer>, Rc<Deputy>>>);

impl Deputies {
    /// The one of `peer`, or of ours without. It ends another one with its PID, so that it is to be
    /// used before another one is asked for. A PID that somebody else has now cannot be named: the
    /// credentials are right all the same.
    ///
    /// # Errors
    /// *denied* without the permission to be that user.
    pub fn of(&self, peer: Option<&Peer>) -> Result<Rc<Deputy>> {
        if let Some(deputy) = self.0.borrow().get(&peer.cloned()) {
            return Ok(Rc::clone(deputy));
        }
        if self.0.borrow().len() == MOST {
            self.dismiss();
        }
        let pid = |peer: Option<&Peer>| peer.map_or(0, |peer| peer.pid);
        self.0.borrow_mut().retain(|other, _| pid(other.as_ref()) == 0 || pid(other.as_ref()) != pid(peer));
        let deputy = Rc::new(peer.map_or_else(
            || Deputy::start(None, None).context(|| "start a process that makes sockets"),
            start,
        )?);
        self.0.borrow_mut().insert(peer.cloned(), Rc::clone(&deputy));
        Ok(deputy)
    }

    /// Ends all: their PIDs are free.
    pub fn dismiss(&self) {
        self.0.borrow_mut().clear();
    }
}

/// PIDs that unix sockets are to name as their other end, of processes that are not in the job, and
/// which others have now.
pub fn taken(records: &Records) -> Vec<i32> {
    let inside: HashSet<i32> = records.processes.iter().map(|process| process.pid).collect();
    let named = records.inodes.iter().filter_map(|inode| match &inode.kind {
        Kind::Unix(unix) => unix.peer.as_ref().map(|peer| peer.pid),
        _ => None,
    });
    let pids: BTreeSet<i32> = named.filter(|pid| *pid > 0 && !inside.contains(pid)).collect();
    pids.into_iter().filter(|pid| status::of_thread(*pid, *pid).is_ok()).collect()
}

fn start(peer: &Peer) -> Result<Deputy> {
    let Peer { pid, uid, gid, .. } = *peer;
    let own = Peer::of_process(std::process::id() as i32)?;
    let ids = Ids { uid, gid, groups: peer.groups.clone() };
    let ids = (Ids { uid: own.uid, gid: own.gid, groups: own.groups } != ids).then_some(ids);
    let begun = match Deputy::start((pid > 0).then_some(pid), ids.as_ref()) {
        Err(err) if matches!(err.raw_os_error(), Some(libc::EEXIST | libc::EINVAL)) => {
            Deputy::start(None, ids.as_ref())
        }
        begun => begun,
    };
    begun.context(|| format!("be user {uid}, group {gid} at the other end of a unix socket (SO_PEERCRED)"))
}
