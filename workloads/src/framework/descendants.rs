//! All processes below one.

use super::{procfs, sys};
use std::collections::HashMap;

/// Kills every descendant of the calling process, also those in other groups and sessions. Repeats
/// until none is left, because a tree being killed may still fork.
pub fn kill_all() {
    for _ in 0..100 {
        let victims = of(sys::getpid());
        if victims.is_empty() {
            return;
        }
        for pid in victims {
            // SAFETY: kill and waitpid take no memory here; a pid that is gone or not our child is
            // an errno that changes nothing: the loop looks again.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG);
            }
        }
        std::thread::yield_now();
    }
}

/// The living processes below `root`, by their parent links. Zombies that only `root`'s other
/// children could reap are left out.
pub fn of(root: libc::pid_t) -> Vec<libc::pid_t> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let Ok(stat) = procfs::Stat::of(pid) else { continue };
        if stat.state != 'Z' || stat.ppid == root {
            children.entry(stat.ppid).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(parent) = next.pop() {
        for pid in children.remove(&parent).unwrap_or_default() {
            found.push(pid);
            next.push(pid);
        }
    }
    found
}
