//! Inspects processes through `/proc`: descendants of a process, and whether a tree is at rest.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, WaitIdOptions, pidfd_open, pidfd_send_signal};

/// Number of openat(2) on this architecture.
const OPENAT: libc::c_long = libc::SYS_openat;

/// All live and zombie processes below `root`, without `root` itself.
///
/// A process that exits during the scan may be missing along with its children; repeat the call
/// until the result is stable.
pub fn descendants(root: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut queue = vec![root];
    while let Some(pid) = queue.pop() {
        for child in children(pid) {
            if found.insert(child) {
                queue.push(child);
            }
        }
    }
    found
}

/// The children of every thread of a process; empty if it is gone.
pub fn children(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    for tid in threads(pid) {
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")) {
            all.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()));
        }
    }
    all
}

/// The thread ids of a process; empty if it is gone.
pub fn threads(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether this kernel has `/proc/PID/task/TID/children`, which is needed to follow a tree.
pub fn shows_children() -> bool {
    Path::new("/proc/thread-self/children").exists()
}

/// The state letter of `/proc/PID/stat` (`R`, `S`, `Z` …); `None` if the process is gone.
pub fn state(pid: u32) -> Option<char> {
    state_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The state letter follows the last parenthesis, because the command name may contain any
/// character.
fn state_of(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether no thread of the process is alive: it is gone, or a zombie. (A process of which only the
/// main thread has exited looks like a zombie, too.)
pub fn is_dead(pid: u32) -> bool {
    threads(pid).into_iter().all(|tid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat"));
        stat.ok().and_then(|text| state_of(&text)).is_none_or(|state| matches!(state, 'Z' | 'X'))
    })
}

/// Whether some thread of the process is blocked in openat(2), not stopped there by a tracer.
pub fn waits_in_open(pid: u32) -> bool {
    threads(pid).into_iter().any(|tid| {
        if state(tid) != Some('S') {
            return false;
        }
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")) else { return false };
        text.split_ascii_whitespace().next().and_then(|number| number.parse::<libc::c_long>().ok())
            == Some(OPENAT)
    })
}

/// A snapshot of a tree that compares equal as long as no thread of it runs.
#[derive(Debug, PartialEq, Eq)]
pub struct TreeSnapshot {
    /// Thread id and number of context switches.
    threads: Vec<(u32, u64)>,
    /// Every thread is sleeping, stopped or dead.
    at_rest: bool,
}

impl TreeSnapshot {
    /// Takes a snapshot of the process and everything below it.
    pub fn of(root: u32) -> TreeSnapshot {
        let mut pids = descendants(root);
        pids.insert(root);
        let mut snapshot = TreeSnapshot { threads: Vec::new(), at_rest: true };
        for pid in pids {
            for tid in threads(pid) {
                let Ok(status) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")) else {
                    snapshot.at_rest = false;
                    continue;
                };
                let (switches, resting) = rest_of(&status);
                snapshot.threads.push((tid, switches));
                snapshot.at_rest &= resting;
            }
        }
        snapshot.threads.sort_unstable();
        snapshot
    }

    /// Whether no thread was running.
    pub fn at_rest(&self) -> bool {
        self.at_rest
    }
}

/// Number of context switches, and whether the thread is at rest, from `/proc/PID/task/TID/status`.
fn rest_of(status: &str) -> (u64, bool) {
    let mut switches = 0;
    let mut resting = false;
    for line in status.lines() {
        if let Some(value) = line.strip_prefix("State:") {
            resting = value.trim_start().starts_with(['S', 'T', 't', 'Z', 'X', 'D', 'I']);
        } else if line.starts_with("voluntary_ctxt_switches:")
            || line.starts_with("nonvoluntary_ctxt_switches:")
        {
            switches += line.rsplit_once('\t').and_then(|(_, n)| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    (switches, resting)
}

/// Sends a signal to a process that must still descend from `ancestor`. A process that is gone is
/// not an error.
///
/// The check is made between opening the pidfd and using it, so a reused PID is never signalled.
pub fn signal_descendant(ancestor: u32, pid: u32, signal: Signal) -> io::Result<()> {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    if !descendants(ancestor).contains(&pid) {
        return Ok(());
    }
    let signal = rustix::process::Signal::from_named_raw(signal as i32).ok_or(io::ErrorKind::InvalidInput)?;
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Kills a child of this process and reaps it; false if it was gone already.
pub fn end(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    // Killing a zombie has no effect.
    let killed = rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
    let ended = || rustix::process::waitid(rustix::process::WaitId::Pid(pid), WaitIdOptions::EXITED);
    while ended().is_err_and(|errno| errno == rustix::io::Errno::INTR) {}
    killed
}

/// One-line description of a process for a report: `4711 (name, state S)`.
pub fn describe(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let state = state(pid).map_or_else(|| "gone".to_owned(), |s| format!("state {s}"));
    format!("{pid} ({}, {state})", name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitId, waitid};
    use std::process::{Command, Stdio};

    #[test]
    fn the_state_letter_survives_odd_names() {
        assert_eq!(state_of("12 (a) b) S 1 12 12 0"), Some('S'));
        assert_eq!(state_of("nonsense"), None);
    }

    #[test]
    fn rest_is_read_from_status() {
        let status =
            "Name:\tx\nState:\tS (sleeping)\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!(rest_of(status), (7, true));
        assert_eq!(rest_of("State:\tR (running)\n"), (0, false));
    }

    #[test]
    fn a_child_is_a_descendant_until_reaped_and_only_descendants_are_hit() {
        let me = std::process::id();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        assert!(descendants(me).contains(&pid));
        assert!(!is_dead(pid));
        // The process is not its own descendant, so no signal is sent.
        signal_descendant(pid, pid, Signal::SIGKILL).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        signal_descendant(me, pid, Signal::SIGKILL).unwrap();
        let gone = waitid(
            WaitId::Pid(Pid::from_raw(pid as i32).unwrap()),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        );
        gone.unwrap();
        assert!(is_dead(pid) && descendants(me).contains(&pid));
        child.wait().unwrap();
        assert!(is_dead(pid) && !descendants(me).contains(&pid));
        assert_eq!(state(pid), None);
    }
}
