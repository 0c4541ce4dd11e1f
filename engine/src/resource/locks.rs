//! File locks and leases that no descriptor shows: a mapping keeps the open file, and its lock,
//! after close(2).

use super::bytes::PathBytes;
use super::fd::inode::Inodes;
use crate::error::{Problem, Problems, Subject};
use std::collections::{HashMap, HashSet};
use std::thread::JoinHandle;

/// A lock in /proc/locks (proc_locks(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lock {
    /// `FLOCK`, `POSIX`, `OFDLCK`, `LEASE`, `DELEG` …
    kind: String,
    /// PID of the process that took it; -1 if unknown.
    pid: i32,
    /// Device number and inode number.
    file: (u64, u64),
}

/// Parses a line of /proc/locks; `None` for a waiter and for an unknown format.
fn parse(line: &str) -> Option<Lock> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let kind = words.next().filter(|word| *word != "->")?.to_owned();
    // Skip advisory or mandatory, and read or write.
    let pid = words.nth(2)?.parse().ok()?;
    let mut file = words.next()?.split(':');
    let mut number = |radix| u64::from_str_radix(file.next()?, radix).ok();
    let (major, minor, inode) = (number(16)?, number(16)?, number(10)?);
    Some(Lock { kind, pid, file: (rustix::fs::makedev(major as u32, minor as u32), inode) })
}

/// A scan of all file locks, in progress. Before it returns anything, the kernel waits for lock
/// operations in progress, some ten milliseconds (fs/locks.c, `locks_start`: `percpu_down_write`).
pub struct Look(JoinHandle<String>);

impl Look {
    /// Starts the scan; all processes to be saved must be stopped.
    pub fn begin() -> Self {
        Look(std::thread::spawn(|| std::fs::read_to_string("/proc/locks").unwrap_or_default()))
    }

    /// Restricts the scan to locks on files in use. `inside`: pids and tids of the saved tree.
    pub fn among(self, inodes: &Inodes, inside: HashSet<i32>) -> Locks {
        let named = inodes.identities().map(|(file, (user, path))| (file, (user.clone(), path.clone())));
        Locks { named: named.collect(), inside, text: self.0 }
    }
}

/// The locks on files in use, available when the scan has finished.
pub struct Locks {
    /// Where a file is used, and its path, by device and inode.
    named: HashMap<(u64, u64), (Subject, PathBytes)>,
    inside: HashSet<i32>,
    text: JoinHandle<String>,
}

impl Locks {
    /// Whether the scan has finished.
    pub fn is_done(&self) -> bool {
        self.text.is_finished()
    }

    /// Reasons to refuse: locks on files in use that a mapping may keep, taken by a process in the
    /// tree or an unknown one. Those that descriptors show were refused before. A POSIX lock is
    /// released by the first close(2).
    pub fn problems(self) -> Problems {
        let text = self.text.join().expect("the thread that reads /proc/locks does not panic");
        let mut problems = Problems::default();
        for lock in text.lines().filter_map(parse).filter(|lock| lock.kind != "POSIX") {
            let ours = lock.pid == -1 || self.inside.contains(&lock.pid);
            if let Some((user, path)) = self.named.get(&lock.file).filter(|_| ours) {
                let kind =
                    if matches!(lock.kind.as_str(), "LEASE" | "DELEG") { "lease" } else { "file lock" };
                problems.push(Problem::of(
                    user.clone(),
                    format!(
                        ": {path} has a {kind} ({}), which a mapping may hold; unmap it first",
                        lock.kind
                    ),
                ));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let lock =
            |kind: &str, pid| Lock { kind: kind.into(), pid, file: (rustix::fs::makedev(8, 0x12), 345) };
        assert_eq!(parse("1: FLOCK  ADVISORY  WRITE 2634 08:12:345 0 EOF"), Some(lock("FLOCK", 2634)));
        assert_eq!(parse("2: OFDLCK ADVISORY  READ  -1 08:12:345 0 9"), Some(lock("OFDLCK", -1)));
        assert_eq!(parse("3: LEASE  ACTIVE    READ  7 08:12:345 0 EOF"), Some(lock("LEASE", 7)));
        assert_eq!(parse("1: -> FLOCK  ADVISORY  WRITE 2635 08:12:345 0 EOF"), None);
        assert_eq!(parse("nonsense"), None);
    }
}
