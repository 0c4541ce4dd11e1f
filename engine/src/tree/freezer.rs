//! Whether a process is in a frozen control group: it cannot be stopped or run a program then.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Mounted hierarchies with a freezer, and the state of the groups seen so far.
pub struct Freezers {
    /// Mount points, and whether each is cgroup v2.
    mounts: Vec<(PathBuf, bool)>,
    known: HashMap<PathBuf, bool>,
}

impl Freezers {
    /// Finds the hierarchies. If there are none, or none visible, no process counts as frozen.
    pub fn find() -> Self {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Freezers { mounts: text.lines().filter_map(mount).collect(), known: HashMap::new() }
    }

    /// The frozen group that contains a process, if any.
    pub fn frozen(&mut self, pid: i32) -> Option<PathBuf> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let groups: Vec<PathBuf> = text.lines().filter_map(|line| self.directory(line)).collect();
        groups.into_iter().find(|group| {
            let frozen = self.known.entry(group.clone()).or_insert_with(|| is_frozen(group));
            *frozen
        })
    }

    /// The directory of a group in proc_pid_cgroup(5), if it has a freezer.
    fn directory(&self, line: &str) -> Option<PathBuf> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let second = number == "0" && controllers.is_empty();
        if !second && !controllers.split(',').any(|name| name == "freezer") {
            return None;
        }
        let (mount, _) = self.mounts.iter().find(|(_, version2)| *version2 == second)?;
        Some(mount.join(path.trim_start_matches('/')))
    }
}

/// Mount point of a hierarchy with a freezer, from a line of proc_pid_mountinfo(5), and whether it
/// is v2.
fn mount(line: &str) -> Option<(PathBuf, bool)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let point = mount.split(' ').nth(4)?;
    let mut words = file_system.split(' ');
    let (kind, options) = (words.next()?, words.nth(1)?);
    let version2 = kind == "cgroup2";
    (version2 || kind == "cgroup" && options.split(',').any(|option| option == "freezer"))
        .then(|| (PathBuf::from(point), version2))
}

fn is_frozen(group: &Path) -> bool {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).unwrap_or_default();
    // Version 2: freezing in progress counts, too; version 1: FREEZING and FROZEN.
    read("cgroup.freeze").trim() == "1"
        || read("cgroup.events").lines().any(|line| line == "frozen 1")
        || read("freezer.state").starts_with("FR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_that_can_freeze_are_found() {
        let second = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let first = "31 23 0:27 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer";
        let other = "32 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct";
        assert_eq!(mount(second), Some(("/sys/fs/cgroup".into(), true)));
        assert_eq!(mount(first), Some(("/sys/fs/cgroup/freezer".into(), false)));
        assert_eq!(mount(other), None);
        let freezers = Freezers {
            mounts: [first, second].into_iter().filter_map(mount).collect(),
            known: HashMap::new(),
        };
        assert_eq!(freezers.directory("0::/a/b"), Some("/sys/fs/cgroup/a/b".into()));
        assert_eq!(freezers.directory("7:freezer:/x"), Some("/sys/fs/cgroup/freezer/x".into()));
        assert_eq!(freezers.directory("6:cpu,cpuacct:/x"), None);
    }
}
