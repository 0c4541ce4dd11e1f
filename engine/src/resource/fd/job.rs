//! What decides of which kind a descriptor is, besides itself.

use super::table;
use crate::proc::fdinfo::FdInfo;
use crate::resource::bytes::PathBytes;
use std::cell::OnceCell;
use std::collections::HashSet;

/// What is known of a job before its descriptors are.
#[derive(Debug, Default)]
pub struct Job {
    /// Its processes.
    pids: Vec<i32>,
    /// Names of files that are left outside.
    pub external: Vec<PathBytes>,
    /// Numbers of the pseudo-terminals of which it has the master; looked for only where it has
    /// another side.
    masters: OnceCell<HashSet<u32>>,
}

impl Job {
    /// These processes, and the names of files that are left outside.
    pub fn new(pids: Vec<i32>, external: Vec<PathBytes>) -> Self {
        Job { pids, external, masters: OnceCell::new() }
    }

    /// Its processes that are alive.
    pub fn processes(&self) -> &[i32] {
        &self.pids
    }

    /// Whether a process of it has the master of the pseudo-terminal of this number.
    pub fn has_master(&self, index: u32) -> bool {
        let all = || self.pids.iter().flat_map(|pid| masters_of(*pid)).collect();
        self.masters.get_or_init(all).contains(&index)
    }
}

/// Numbers of the pseudo-terminals of which a process has the master.
fn masters_of(pid: i32) -> Vec<u32> {
    let is_master = |fd: &i32| {
        let link = std::fs::read_link(format!("/proc/{pid}/fd/{fd}"));
        link.is_ok_and(|link| link.file_name().is_some_and(|name| name == "ptmx"))
    };
    let numbers = table::numbers(pid).into_iter().flatten().filter(is_master);
    numbers.filter_map(|fd| pty_index(&FdInfo::read(pid, fd).ok()?)).collect()
}

/// N of /dev/pts/N, by what the master shows since Linux 4.14 (d01c3289e7d6).
pub fn pty_index(info: &FdInfo) -> Option<u32> {
    info.field("tty-index")?.parse().ok()
}
