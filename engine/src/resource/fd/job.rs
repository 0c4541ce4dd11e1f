//! What decides of which kind a descriptor is, besides itself.

use super::table;
use crate::proc::fdinfo::FdInfo;
use crate::resource::bytes::PathBytes;
use crate::sys::task::Seen;
use std::cell::OnceCell;
use std::collections::HashSet;

/// What becomes of TCP connections to processes outside the job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Established {
    /// They are refused.
    #[default]
    Refused,
    /// They are saved; the job, and its peers with it, run on.
    Saved,
    /// They are saved and locked, as the job is to be killed.
    Locked,
}

/// What is known of a job before its descriptors are.
#[derive(Debug, Default)]
pub struct Job {
    /// Its processes that are alive.
    processes: Vec<Seen>,
    /// Names of files that are left outside.
    pub external: Vec<PathBytes>,
    /// What becomes of TCP connections to outside.
    pub established: Established,
    /// Numbers of the pseudo-terminals of which it has the master; looked for only where it has
    /// another side.
    masters: OnceCell<HashSet<u32>>,
}

impl Job {
    /// These processes, the names of files that are left outside, and what becomes of TCP
    /// connections to there.
    pub fn new(processes: Vec<Seen>, external: Vec<PathBytes>, established: Established) -> Self {
        Job { processes, external, established, masters: OnceCell::new() }
    }

    /// Its processes that are alive.
    pub fn processes(&self) -> &[Seen] {
        &self.processes
    }

    /// Whether a process of it has the master of the pseudo-terminal of this number.
    pub fn has_master(&self, index: u32) -> bool {
        let all = || self.processes.iter().flat_map(|process| masters_of(process.by)).collect();
        self.masters.get_or_init(all).contains(&index)
    }
}

/// Numbers of the pseudo-terminals of which a thread has the master.
fn masters_of(tid: i32) -> Vec<u32> {
    let is_master = |fd: &i32| {
        let link = std::fs::read_link(format!("/proc/{tid}/fd/{fd}"));
        link.is_ok_and(|link| link.file_name().is_some_and(|name| name == "ptmx"))
    };
    let numbers = table::numbers(tid).into_iter().flatten().filter(is_master);
    numbers.filter_map(|fd| pty_index(&FdInfo::read(tid, fd).ok()?)).collect()
}

/// N of /dev/pts/N, by what the master shows since Linux 4.14 (d01c3289e7d6).
pub fn pty_index(info: &FdInfo) -> Option<u32> {
    info.field("tty-index")?.parse().ok()
}
