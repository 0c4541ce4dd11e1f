//! An address space: its mappings, the contents of their pages, and the addresses in `mm_struct`.
//!
//! `capture` reads mappings from /proc, `pagemap` finds populated pages, `dump` copies them into
//! the context file, and `restore` builds the address space around the scratch range of a new
//! process.

pub mod ask;
pub mod attachment;
pub mod capture;
pub mod dump;
pub mod marks;
pub mod membarrier;
pub mod pagemap;
pub mod pkey;
pub mod policy;
pub mod restore;
pub mod shared;
pub mod tags;
pub mod vma;

use crate::image::Extent;
use crate::resource::bytes::Bytes;
use marks::{LockFuture, Marks};
use membarrier::Registrations;
use serde::{Deserialize, Serialize};
use tags::Tags;
use vma::Vma;

/// A half-open range of addresses, or of offsets in an object.
pub type Range = std::ops::Range<u64>;

/// An address space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Sorted, disjoint; adjacent mappings with equal attributes are merged.
    pub vmas: Vec<Vma>,
    /// Contents of private mappings, sorted.
    pub pages: Vec<Extent>,
    /// Code, data, heap, stack, arguments, environment.
    pub marks: Marks,
    /// The auxiliary vector.
    pub auxv: Bytes,
    /// The executable: index into the files.
    pub exe: usize,
    /// xxh3-64 of the vdso's code; `None` without a vdso.
    pub vdso: Option<u64>,
    /// mlockall(2) for future mappings.
    pub lock_future: Option<LockFuture>,
    /// The result of PR_GET_THP_DISABLE: 0, or 1 with the flags that it was set with
    /// (`PR_THP_DISABLE_EXCEPT_ADVISED`, Linux 6.18).
    pub thp_disable: u32,
    /// `PR_SET_DUMPABLE`
    pub dumpable: i32,
    /// Allocated protection keys, bit n for key n.
    #[serde(default)]
    pub pkeys: u32,
    /// membarrier(2)
    #[serde(default)]
    pub membarrier: Registrations,
    /// `PR_SET_MDWE`, 0 for none.
    #[serde(default)]
    pub deny_write_execute: u32,
    /// `PR_SET_MEMORY_MERGE`
    #[serde(default)]
    pub merge: bool,
    /// Memory tags that are not 0, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tags>,
}
