//! Shared anonymous memory: one object, however many processes map it.

use super::Range;
use super::dump::{self, DataSource, DumpPlan, Owner};
use super::vma::{Backing, Vma};
use crate::error::{Context, Result};
use crate::image::Extent;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A shared memory object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedMemory {
    /// Size in bytes.
    pub size: u64,
    /// Page size in bytes: the normal one, or huge (`MAP_HUGETLB`).
    pub page: u64,
    /// Contents; the rest is zeros.
    pub content: Vec<Extent>,
}

/// The objects found so far, each once.
#[derive(Default)]
pub struct SharedObjects {
    all: Vec<(SharedMemory, Owner)>,
    /// Populated ranges of each object, sorted offsets.
    populated: Vec<Vec<Range>>,
    known: HashMap<(u64, u64), usize>,
}

impl SharedObjects {
    /// Finds or adds the object behind `/proc/PID/map_files/…`, with pages of `page` bytes.
    ///
    /// # Errors
    /// *denied* without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
    pub fn add(&mut self, link: &Path, page: u64, dump_plan: &mut DumpPlan) -> Result<usize> {
        let what = || format!("open shared memory {}", link.display());
        let file = File::open(link).context(what)?;
        let meta = file.metadata().context(what)?;
        let index = self.all.len();
        match self.known.entry((meta.dev(), meta.ino())) {
            std::collections::hash_map::Entry::Occupied(known) => return Ok(*known.get()),
            std::collections::hash_map::Entry::Vacant(new) => new.insert(index),
        };
        let ranges = dump::data_ranges(&file, meta.len()).context(what)?;
        let owner = dump_plan.owner();
        let source = dump_plan.source(DataSource::File(file));
        dump_plan.add(owner, source, ranges.iter().cloned(), false);
        self.populated.push(ranges);
        self.all.push((SharedMemory { size: meta.len(), page, content: Vec::new() }, owner));
        Ok(index)
    }

    /// Addresses in a mapping of shared memory at which the object is populated.
    pub fn populated_in(&self, vma: &Vma) -> Vec<Range> {
        let Backing::Shared { object, offset, .. } = vma.backing else { return Vec::new() };
        let shown = offset..offset + (vma.end - vma.start);
        let inside = self.populated[object].iter().filter(|r| r.start < shown.end && r.end > shown.start);
        let address = |at: u64| vma.start + (at.clamp(shown.start, shown.end) - offset);
        inside.map(|range| address(range.start)..address(range.end)).collect()
    }

    /// Device and inode of each object, with its index.
    pub fn identities(&self) -> impl Iterator<Item = ((u64, u64), usize)> {
        self.known.iter().map(|(identity, index)| (*identity, *index))
    }

    /// The table for the records.
    pub fn finish(self, extents: &mut dyn FnMut(Owner) -> Vec<Extent>) -> Vec<SharedMemory> {
        self.all
            .into_iter()
            .map(|(memory, owner)| SharedMemory { content: extents(owner), ..memory })
            .collect()
    }
}
