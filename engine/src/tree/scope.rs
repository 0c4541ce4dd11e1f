//! The scope of a checkpoint.

use crate::error::{Context, Result};
use serde::{Deserialize, Serialize};

/// What an id on the command line refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// A process and all its descendants.
    Tree(i32),
    /// One process alone.
    Process(i32),
    /// The members of a process group.
    Group(i32),
    /// The members of a session.
    Session(i32),
}

impl Scope {
    /// The id.
    pub fn id(self) -> i32 {
        let (Scope::Tree(id) | Scope::Process(id) | Scope::Group(id) | Scope::Session(id)) = self;
        id
    }

    /// The kind of id, in words.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Tree(_) => "the tree of process",
            Scope::Process(_) => "process",
            Scope::Group(_) => "process group",
            Scope::Session(_) => "session",
        }
    }

    /// The processes now in scope, parents before children. Recent forks may be missing: repeat
    /// after stopping them.
    ///
    /// # Errors
    /// *vanished*, or what /proc reports.
    pub fn pids(self) -> Result<Vec<i32>> {
        match self {
            Scope::Process(pid) => Ok(vec![pid]),
            Scope::Tree(root) => {
                let mut pids = vec![root];
                let mut next = 0;
                while next < pids.len() {
                    pids.extend(children(pids[next])?);
                    next += 1;
                }
                Ok(pids)
            }
            Scope::Group(pgid) => members(|stat| stat.pgrp == pgid),
            Scope::Session(sid) => members(|stat| stat.session == sid),
        }
    }
}

/// Threads of a process, in ascending order.
///
/// # Errors
/// *vanished*
pub fn threads(pid: i32) -> Result<Vec<i32>> {
    let dir = format!("/proc/{pid}/task");
    let mut tids = Vec::new();
    for entry in std::fs::read_dir(&dir).context(|| format!("pid {pid}: read {dir}"))? {
        let name = entry.context(|| format!("read {dir}"))?.file_name();
        tids.extend(name.to_str().and_then(|n| n.parse::<i32>().ok()));
    }
    tids.sort_unstable();
    Ok(tids)
}

/// Children of all threads of a process (proc_tid_children(5), `CONFIG_PROC_CHILDREN`).
fn children(pid: i32) -> Result<Vec<i32>> {
    let mut children = Vec::new();
    let tids = match threads(pid) {
        Ok(tids) => tids,
        Err(_) if !std::path::Path::new(&format!("/proc/{pid}")).exists() => return Ok(children),
        Err(err) => return Err(err),
    };
    for tid in tids {
        let path = format!("/proc/{pid}/task/{tid}/children");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // The thread has exited. If its directory exists, the kernel option is missing.
            Err(_) if !std::path::Path::new(&format!("/proc/{pid}/task/{tid}")).exists() => continue,
            Err(err) => return Err(err).context(|| format!("read {path} (needs CONFIG_PROC_CHILDREN)")),
        };
        children.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<i32>().ok()));
    }
    children.sort_unstable();
    Ok(children)
}

fn members(belongs: impl Fn(&procfs::process::Stat) -> bool) -> Result<Vec<i32>> {
    let processes =
        procfs::process::all_processes().map_err(std::io::Error::other).context(|| "read /proc")?;
    // A process that exits during the scan is in no scope.
    let stats = processes.filter_map(|p| p.and_then(|p| p.stat()).ok());
    let mut all: Vec<_> = stats.filter(belongs).map(|stat| (stat.pid, stat.ppid)).collect();
    all.sort_unstable();
    // Parents first.
    let mut ordered: Vec<i32> = Vec::new();
    while !all.is_empty() {
        let pending: Vec<i32> = all.iter().map(|(pid, _)| *pid).collect();
        let (ready, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, ppid)| !pending.contains(ppid));
        ordered.extend(ready.iter().map(|(pid, _)| pid));
        all = later;
    }
    Ok(ordered)
}

/// This process, and its parent if that is the front end and this its worker.
pub fn own_processes() -> Vec<i32> {
    let program = |who: &str| std::fs::read_link(format!("/proc/{who}/exe")).ok();
    let parent = std::os::unix::process::parent_id();
    let mut own = vec![std::process::id() as i32];
    if program(&parent.to_string()).is_some_and(|exe| Some(exe) == program("self")) {
        own.push(parent as i32);
    }
    own
}
