//! Changes to a target that have to be undone before it is let go: by the engine on every way out
//! and, if the worker is killed, by its front end.
//!
//! What a killed engine cannot leave half done is not in here: the registers of a thread that runs
//! a program are in its scratch range, from which it goes back by itself (`remote/scratch.rs`).

use crate::activity;
use crate::error::{Context, Result};
use crate::proc::status;
use crate::sys::guard::Note;
use crate::sys::nftables::{self, LockId};
use crate::sys::socket;
use crate::sys::task::{self, Seen};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A change, by what undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A resource limit.
    Limit {
        /// The process.
        pid: i32,
        /// `RLIMIT_*`
        resource: u32,
        /// Soft and hard limit before.
        before: (u64, u64),
    },
    /// Where the next look into the queue of a socket begins (`SO_PEEK_OFF`).
    PeekOffset {
        /// The process.
        process: Seen,
        /// Its descriptor.
        fd: i32,
        /// The offset before; -1 if looks do not move it.
        before: i32,
    },
    /// Repair mode of a TCP socket (`TCP_REPAIR`).
    Repair {
        /// The process.
        process: Seen,
        /// Its descriptor.
        fd: i32,
        /// `SO_REUSEADDR` before, which repair mode changes.
        reuse: i32,
    },
    /// A lock of TCP connections, which stays when the job is killed.
    Lock {
        /// A process of the job.
        process: Seen,
        /// The lock.
        id: LockId,
    },
}

/// Whether a process is gone, or was killed.
fn is_killed(process: Seen) -> bool {
    const KILL: u64 = 1 << (libc::SIGKILL - 1);
    let alive = |status: procfs::process::Status| {
        !status.state.starts_with(['Z', 'X']) && (status.sigpnd | status.shdpnd) & KILL == 0
    };
    !status::of_thread(process.pid, process.by).is_ok_and(alive)
}

/// A duplicate of a descriptor of a process.
fn borrow(process: Seen, fd: i32) -> io::Result<OwnedFd> {
    task::borrow_fd(process.pidfd()?.as_fd(), fd)
}

/// Both numbers in a word.
fn to_word(process: Seen) -> u64 {
    u64::from(process.pid as u32) | u64::from(process.by as u32) << 32
}

fn from_word(word: u64) -> Seen {
    Seen { pid: word as u32 as i32, by: (word >> 32) as i32 }
}

impl Change {
    fn undo(self) -> Result<()> {
        match self {
            Change::Limit { pid, resource, before } => task::set_rlimit(pid, resource, before)
                .context(|| format!("restore limit {resource} of {pid}")),
            Change::PeekOffset { process, fd, before } => borrow(process, fd)
                .and_then(|fd| socket::set_int(fd.as_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, before))
                .context(|| format!("restore SO_PEEK_OFF of fd {fd} of {}", process.pid)),
            Change::Repair { process, fd, reuse } => borrow(process, fd)
                .and_then(|fd| socket::end_repair(fd.as_fd(), reuse))
                .context(|| format!("end the repair of fd {fd} of {}", process.pid)),
            Change::Lock { process, .. } if is_killed(process) => Ok(()),
            Change::Lock { id, .. } => {
                nftables::remove(id).map(drop).context(|| format!("remove the nf_tables table {id}"))
            }
        }
    }

    fn to_note(self) -> Note {
        match self {
            Change::Limit { pid, resource, before: (soft, hard) } => {
                Note { kind: 1, words: [pid as u64, resource.into(), soft, hard] }
            }
            Change::PeekOffset { process, fd, before } => {
                Note { kind: 2, words: [to_word(process), fd as u64, u64::from(before as u32), 0] }
            }
            Change::Repair { process, fd, reuse } => {
                Note { kind: 3, words: [to_word(process), fd as u64, u64::from(reuse as u32), 0] }
            }
            Change::Lock { process, id } => Note { kind: 4, words: [to_word(process), id.0, 0, 0] },
        }
    }

    fn from_note(note: Note) -> Option<Change> {
        match note {
            Note { kind: 1, words: [pid, resource, soft, hard] } => {
                Some(Change::Limit { pid: pid as i32, resource: resource as u32, before: (soft, hard) })
            }
            Note { kind: 2, words: [process, fd, before, _] } => {
                let process = from_word(process);
                Some(Change::PeekOffset { process, fd: fd as i32, before: before as u32 as i32 })
            }
            Note { kind: 3, words: [process, fd, reuse, _] } => {
                let process = from_word(process);
                Some(Change::Repair { process, fd: fd as i32, reuse: reuse as u32 as i32 })
            }
            Note { kind: 4, words: [process, id, ..] } => {
                Some(Change::Lock { process: from_word(process), id: LockId(id) })
            }
            _ => None,
        }
    }
}

/// A change that is about to be made, or was. Undone when dropped.
#[derive(Debug)]
pub struct Entry {
    change: Change,
    /// Its place on the page that the front end shares.
    place: Option<usize>,
    undone: bool,
}

impl Entry {
    /// Records a change, before it is made.
    ///
    /// # Errors
    /// ENOSPC with too many changes at a time.
    pub fn record(change: Change) -> Result<Entry> {
        let place = activity::board()
            .map(|board| board.note(change.to_note()))
            .transpose()
            .context(|| format!("record {change:?}"))?;
        Ok(Entry { change, place, undone: false })
    }

    /// Undoes it.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn undo(mut self) -> Result<()> {
        self.undo_once()
    }

    /// Leaves the change as it is.
    pub fn keep(mut self) {
        self.undone = true;
        self.strike();
    }

    fn undo_once(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.undone, true) {
            return Ok(());
        }
        self.change.undo()?;
        // If that failed, the front end may still succeed once we are gone.
        self.strike();
        Ok(())
    }

    fn strike(&self) {
        if let (Some(board), Some(place)) = (activity::board(), self.place) {
            board.strike(place);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // On the way out of another failure, which is the one to report.
        let _ = self.undo_once();
    }
}

/// Undoes what is still recorded, the last change first. For the front end, once the worker is
/// gone.
pub fn undo_all() {
    for note in activity::board().map(|board| board.notes()).unwrap_or_default().into_iter().rev() {
        if let Some(change) = Change::from_note(note) {
            // A process that has exited needs nothing undone.
            let _ = change.undo();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCE: u32 = libc::RLIMIT_CORE;

    fn limit() -> (u64, u64) {
        task::rlimit(std::process::id() as i32, RESOURCE).unwrap()
    }

    /// Records that the limit is to be what it is now, and changes it.
    fn change(soft: u64) -> Entry {
        let (pid, before) = (std::process::id() as i32, limit());
        let entry = Entry::record(Change::Limit { pid, resource: RESOURCE, before }).unwrap();
        task::set_rlimit(pid, RESOURCE, (soft, before.1)).unwrap();
        entry
    }

    #[test]
    fn a_change_is_undone_when_its_entry_goes() {
        let before = limit();
        let entry = change(4096);
        assert_eq!(limit().0, 4096);
        drop(entry);
        assert_eq!(limit(), before);
        change(8192).undo().unwrap();
        assert_eq!(limit(), before);
    }

    #[test]
    fn the_front_end_undoes_what_a_killed_worker_left_the_last_first() {
        activity::prepare().unwrap();
        let before = limit();
        // As good as killed: no entry is dropped.
        [4096, 8192, 12288].map(change).into_iter().for_each(std::mem::forget);
        undo_all();
        assert_eq!(limit(), before);
    }

    #[test]
    fn a_change_survives_its_note() {
        let change = Change::Limit { pid: 4711, resource: 9, before: (1, u64::MAX) };
        assert_eq!(Change::from_note(change.to_note()), Some(change));
        let change = Change::Repair { process: Seen { pid: 4711, by: 4712 }, fd: 3, reuse: 1 };
        assert_eq!(Change::from_note(change.to_note()), Some(change));
        let change = Change::Lock { process: Seen { pid: 4711, by: 4712 }, id: LockId(u64::MAX - 1) };
        assert_eq!(Change::from_note(change.to_note()), Some(change));
        assert_eq!(Change::from_note(Note::default()), None);
    }
}
