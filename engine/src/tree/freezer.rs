//! Whether a process is in a frozen control group: it cannot be stopped or run a program then.

use crate::proc::cgroup::{Mounts, parse};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Mounted hierarchies, and whether the groups seen so far are frozen.
pub struct Freezers {
    mounts: Mounts,
    known: HashMap<PathBuf, bool>,
}

impl Freezers {
    /// Finds the hierarchies. If there are none, or none visible, no process counts as frozen.
    pub fn find() -> Self {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Freezers { mounts: Mounts::parse(&text), known: HashMap::new() }
    }

    /// The frozen group that contains a process, if any.
    pub fn frozen(&mut self, pid: i32) -> Option<PathBuf> {
        let text = std::fs::read(format!("/proc/{pid}/cgroup")).ok()?;
        let can_freeze =
            |hierarchy: &str| hierarchy.is_empty() || hierarchy.split(',').any(|name| name == "freezer");
        let groups = parse(&text).filter(|(hierarchy, _)| can_freeze(hierarchy));
        groups.filter_map(|(hierarchy, path)| self.mounts.directory(hierarchy, path)).find(|group| {
            let frozen = self.known.entry(group.clone()).or_insert_with(|| is_frozen(group));
            *frozen
        })
    }
}

/// Whether a group, or one above it, is frozen or being frozen.
pub fn is_frozen(group: &Path) -> bool {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).unwrap_or_default();
    // Version 2: freezing in progress counts, too; version 1: FREEZING and FROZEN.
    read("cgroup.freeze").trim() == "1"
        || read("cgroup.events").lines().any(|line| line == "frozen 1")
        || read("freezer.state").starts_with("FR")
}
