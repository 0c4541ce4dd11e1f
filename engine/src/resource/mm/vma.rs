//! Mappings, `struct vm_area_struct`.

use super::Range;
use super::policy::Policy;
use crate::resource::bytes::PathBytes;
use serde::{Deserialize, Serialize};

/// What a mapping maps. Indices point into the tables of the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backing {
    /// Private anonymous memory, perhaps with a name (`PR_SET_VMA_ANON_NAME`).
    Anonymous {
        /// The name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<PathBytes>,
    },
    /// Private anonymous memory in huge pages of this many bytes (`MAP_HUGETLB`).
    HugeAnonymous {
        /// Page size in bytes.
        page: u64,
    },
    /// Shared anonymous memory, in pages of either kind.
    Shared {
        /// Index of the object.
        object: usize,
        /// Offset in bytes.
        offset: u64,
        /// Mapped `MAP_PRIVATE` through /proc: modified pages are private to the mapping.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        private: bool,
    },
    /// System V shared memory (shmat(2)).
    Segment {
        /// Index of the object.
        object: usize,
        /// Offset in bytes.
        offset: u64,
        /// `SHM_RDONLY`
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        read_only: bool,
    },
    /// A file.
    File {
        /// Index of the file.
        file: usize,
        /// Offset in bytes.
        offset: u64,
        /// `MAP_SHARED`
        shared: bool,
    },
    /// A mapping of the kernel: `[vdso]`, `[vvar]` …
    Special {
        /// Name as in /proc/PID/maps.
        name: String,
    },
}

/// Attributes set by madvise(2), mlock2(2), mmap(2) and mseal(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum VmaFlag {
    GrowsDown,
    NoReserve,
    /// Counts against the commit limit: it is or was writable and private.
    Accounted,
    Droppable,
    Sequential,
    Random,
    DontCopy,
    WipeOnFork,
    DontDump,
    Mergeable,
    HugePage,
    NoHugePage,
    Locked,
    LockedOnFault,
    Sealed,
    /// Indirect branches must lead to a landing pad (`PROT_BTI`, arm64).
    BranchTargets,
    /// With memory tags (`PROT_MTE`, arm64).
    Tagged,
}

/// A mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vma {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// `PROT_*`
    pub prot: i32,
    /// What it maps.
    pub backing: Backing,
    /// Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<VmaFlag>,
    /// Guard pages, sorted, half-open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Range>,
    /// Protection key, 0 for none.
    #[serde(default)]
    pub pkey: u32,
    /// NUMA policy; `None` if that of its threads applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

impl Vma {
    /// Whether `next` continues this mapping with the same attributes.
    pub fn joins(&self, next: &Vma) -> bool {
        let continues = match (&self.backing, &next.backing) {
            // Each mapping of a segment counts.
            (Backing::Special { .. } | Backing::Segment { .. }, _) => false,
            (Backing::File { file, offset, shared }, Backing::File { file: f, offset: o, shared: s }) => {
                (file, shared) == (f, s) && offset + self.len() == *o
            }
            (
                Backing::Shared { object, offset, private },
                Backing::Shared { object: b, offset: o, private: p },
            ) => (object, private) == (b, p) && offset + self.len() == *o,
            (a, b) => a == b,
        };
        continues
            && self.end == next.start
            && (self.prot, &self.flags, self.pkey) == (next.prot, &next.flags, next.pkey)
            && self.policy == next.policy
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Always false for a valid mapping.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether modified pages are private to it.
    pub fn is_private(&self) -> bool {
        match &self.backing {
            Backing::Anonymous { .. } | Backing::HugeAnonymous { .. } => true,
            Backing::File { shared, .. } => !shared,
            Backing::Shared { private, .. } => *private,
            Backing::Special { .. } | Backing::Segment { .. } => false,
        }
    }

    /// Whether an unmodified page may be something else than zeros.
    pub fn has_background(&self) -> bool {
        matches!(self.backing, Backing::File { .. } | Backing::Shared { .. } | Backing::Segment { .. })
    }

    pub(in crate::resource) fn is_special(&self) -> bool {
        matches!(self.backing, Backing::Special { .. })
    }

    pub(super) fn has(&self, flag: VmaFlag) -> bool {
        self.flags.contains(&flag)
    }

    /// `PROT_*` including the bits that are shown as flags.
    pub(super) fn whole_prot(&self) -> i32 {
        // arch/arm64/include/uapi/asm/mman.h
        const PROT_BTI: i32 = 0x10;
        const PROT_MTE: i32 = 0x20;
        let bit = |flag, prot| if self.has(flag) { prot } else { 0 };
        self.prot | bit(VmaFlag::BranchTargets, PROT_BTI) | bit(VmaFlag::Tagged, PROT_MTE)
    }

    pub(super) fn label(&self) -> String {
        format!("{:#x}-{:#x}", self.start, self.end)
    }
}

/// Merges adjacent mappings with equal attributes: the kernel keeps some of them apart for reasons
/// that are not visible to the process.
pub fn join(vmas: Vec<Vma>) -> Vec<Vma> {
    let mut joined: Vec<Vma> = Vec::with_capacity(vmas.len());
    for vma in vmas {
        match joined.last_mut() {
            Some(last) if last.joins(&vma) => {
                last.end = vma.end;
                last.guards.extend(vma.guards);
            }
            _ => joined.push(vma),
        }
    }
    joined
}
