//! Namespace files (namespaces(7)), of the namespaces that cairn is in, too.

use super::inode::Observed;
use super::{At, Identity, Kind, Made, Verbs, Way};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A namespace that a restart is in, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its kind, as in `/proc/self/ns`: `net`, `mnt` …
    pub kind: String,
}

/// include/uapi/linux/magic.h
const NSFS_MAGIC: i64 = 0x6e73_6673;
/// The kinds that a process is in one of (fs/proc/namespaces.c, `ns_entries`).
const KINDS: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    // One that is mounted on a file has a path.
    if seen.file_system != NSFS_MAGIC || seen.has_path() {
        return None;
    }
    let kind = seen.link.0.split(|byte| *byte == b':').next().and_then(|kind| std::str::from_utf8(kind).ok());
    let own = kind.filter(|kind| KINDS.contains(kind)).map(|kind| Namespace { kind: kind.into() });
    let is_own = |namespace: &Namespace| {
        std::fs::metadata(namespace.path()).is_ok_and(|own| own.ino() == seen.meta.ino())
    };
    Some(match own.filter(is_own) {
        Some(namespace) => Ok(Kind::Namespace(namespace)),
        None => Err(seen.refuse("a namespace in which cairn is not; close it first, or run cairn in it")),
    })
}

impl Namespace {
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/ns/{}", self.kind))
    }
}

impl Verbs for Namespace {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn title(&self, _index: usize) -> String {
        format!("{} namespace", self.kind)
    }

    fn identity(&self) -> Identity {
        Identity::Inode
    }

    /// It has no state.
    fn is_shared_state(&self, _flags: i32) -> bool {
        false
    }

    fn validate(&self) -> std::result::Result<(), String> {
        if KINDS.contains(&self.kind.as_str()) { Ok(()) } else { Err("an unknown kind of namespace".into()) }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        Ok(Box::new(At(self.path())))
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[crate::resource::fault::Fault {
    name: "namespace-file-of-another-kind",
    what: "a file of a namespace becomes one of the uts namespace",
    commit: |r| {
        for inode in &mut r.inodes {
            if let Kind::Namespace(namespace) = &mut inode.kind {
                namespace.kind = "uts".into();
            }
        }
    },
}];
