//! The lock of TCP connections to outside: while no process has them, a table of nf_tables drops
//! their packets in both directions, so that neither end learns of it. It stays when the job was
//! killed, until a restart has made the connections anew.

use super::inet::Ends;
use super::ip::Endpoint;
use crate::error::{Context, Error, Result};
use crate::journal::{Change, Entry};
use crate::sys::nftables::{self, Key, LockId};
use crate::sys::task::Seen;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

/// Drops the packets of connections; false if the lock was there.
fn begin(id: LockId, connections: &[Ends]) -> Result<bool> {
    let keys: Vec<Key> = connections.iter().map(|(own, other)| key(*own, *other)).collect();
    match nftables::drop_packets(id, &keys) {
        Err(err) if err.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        begun => begun.map(|()| true).context(|| "lock TCP connections to outside by nf_tables"),
    }
}

/// Lets the packets pass; false if there was no lock.
///
/// # Errors
/// *denied* without CAP_NET_ADMIN; what the kernel reports.
pub fn end(id: LockId) -> Result<bool> {
    nftables::remove(id).context(|| format!("remove the nf_tables table {id}"))
}

/// Whether an error of [`Lock::take`] says that the kernel cannot do it.
pub fn is_unavailable(err: &Error) -> bool {
    let Error::Failed { source, .. } = err else { return false };
    matches!(source.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT))
}

fn key(own: Endpoint, other: Endpoint) -> Key {
    let part = |end: Endpoint| (end.canonical().ip, end.port);
    nftables::key(part(other), part(own))
}

/// A lock during a checkpoint. It is removed when this is dropped, and by the front end if the
/// worker is killed, unless the job was killed by then.
#[derive(Debug)]
pub struct Lock {
    /// Its name.
    pub id: LockId,
    /// How many connections it is of.
    pub connections: usize,
    entry: Entry,
}

impl Lock {
    /// Takes it for connections of a job, which has this process.
    ///
    /// # Errors
    /// *denied* without CAP_NET_ADMIN; what the kernel reports, see [`is_unavailable`].
    pub fn take(process: Seen, connections: &[Ends]) -> Result<Lock> {
        // Nothing but the state of the hasher, which is random.
        let id = LockId(RandomState::new().build_hasher().finish());
        let entry = Entry::record(Change::Lock { process, id })?;
        if !begin(id, connections)? {
            return Err(Error::Failed {
                what: "lock TCP connections to outside".into(),
                source: io::Error::from_raw_os_error(libc::EEXIST),
            });
        }
        Ok(Lock { id, connections: connections.len(), entry })
    }

    /// Leaves it, since the job is gone.
    pub fn keep(self) {
        self.entry.keep();
    }
}

/// A lock during a restart.
#[derive(Debug)]
pub struct Held {
    id: LockId,
    /// Whether it was not there before.
    is_new: bool,
}

impl Held {
    /// Takes it, unless it is there.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn take(id: LockId, connections: &[Ends]) -> Result<Held> {
        Ok(Held { id, is_new: begin(id, connections)? })
    }

    /// Removes it.
    ///
    /// # Errors
    /// As [`end`].
    pub fn end(mut self) -> Result<()> {
        self.is_new = false;
        end(self.id).map(drop)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_new {
            // On the way out of another failure, which is the one to report.
            let _ = end(self.id);
        }
    }
}
