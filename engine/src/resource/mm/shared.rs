//! Shared memory without a file, anonymous or System V's: one object, however many processes map
//! it.

use super::Range;
use super::dump::{self, DataSource, DumpPlan, Owner};
use super::vma::{Backing, Vma};
use crate::error::{Context, Error, External, Problem, Problems, Result, Subject};
use crate::image::Extent;
use crate::proc::maps;
use crate::resource::ipc::is_absent;
use crate::resource::ipc::segment::{self, Segment};
use crate::sys::mapping::{Attached, SharedMapping};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
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
    /// System V shared memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
}

impl SharedMemory {
    /// Size in bytes, in whole pages.
    pub fn whole_size(&self) -> u64 {
        self.size.next_multiple_of(self.page)
    }
}

/// Device and inode number of an object. The inode number of a segment is its id, which another
/// object may have as well (ipc/shm.c, `newseg`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId {
    /// As in stat(2).
    pub node: (u64, u64),
    /// Whether it is a segment.
    pub is_segment: bool,
}

/// The objects found so far, each once.
#[derive(Default)]
pub struct SharedObjects {
    all: Vec<(SharedMemory, Owner)>,
    /// Populated ranges of each object, sorted offsets.
    populated: Vec<Vec<Range>>,
    known: HashMap<ObjectId, usize>,
    /// The mappings of each segment: how many there are, a part of the job that has one, and how
    /// many the job has.
    attached: HashMap<usize, (u64, Subject, u64)>,
}

impl SharedObjects {
    /// Finds or adds the anonymous object behind `/proc/PID/map_files/…`, with pages of `page`
    /// bytes.
    ///
    /// # Errors
    /// *denied* without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
    pub fn add(&mut self, link: &Path, page: u64, dump_plan: &mut DumpPlan) -> Result<usize> {
        let what = || format!("open shared memory {}", link.display());
        let file = File::open(link).context(what)?;
        let meta = file.metadata().context(what)?;
        let id = ObjectId { node: (meta.dev(), meta.ino()), is_segment: false };
        if let Some(known) = self.known.get(&id) {
            return Ok(*known);
        }
        let ranges = dump::data_ranges(&file, meta.len()).context(what)?;
        Ok(self.add_new(id, None, (meta.len(), page), ranges, DataSource::File(file), dump_plan))
    }

    /// Finds or adds the segment behind `/proc/PID/map_files/…`, and counts the mapping, `at`;
    /// `None` for a file that only has such a name.
    ///
    /// # Errors
    /// As [`SharedObjects::add`].
    pub fn add_segment(
        &mut self,
        (link, key): (&Path, i32),
        at: &Subject,
        page: u64,
        dump_plan: &mut DumpPlan,
    ) -> Result<Option<usize>> {
        let what = || format!("open System V shared memory {}", link.display());
        let file = File::open(link).context(what)?;
        let meta = file.metadata().context(what)?;
        let id = ObjectId { node: (meta.dev(), meta.ino()), is_segment: true };
        if let Some(known) = self.known.get(&id) {
            self.attached.entry(*known).and_modify(|(_, _, ours)| *ours += 1);
            return Ok(Some(*known));
        }
        if !segment::is_on_own_device(&meta, page)? {
            return Ok(None);
        }
        let found = Segment::of(meta.ino() as i32, Some(key));
        let is_same = |(segment, attached): &(Segment, u64)| {
            *attached > 0 && segment.size <= meta.len() && meta.len() - segment.size < page
        };
        let (segment, attached) = match found {
            Err(Error::Failed { source, .. }) if is_absent(&source) => None,
            found => Some(found?).filter(is_same),
        }
        .ok_or_else(|| {
            let why = ": System V shared memory of another IPC namespace; run cairn in that (nsenter --ipc)";
            Error::unsupported(Problem::of(at.clone(), why))
        })?;
        let index = self.add_mapped(segment, &file, page, dump_plan).context(what)?;
        self.attached.insert(index, (attached, at.clone(), 1));
        Ok(Some(index))
    }

    /// Adds a segment of this id that nobody has attached, unless the job has.
    ///
    /// # Errors
    /// *unsupported* if somebody outside has.
    pub fn add_unattached(&mut self, id: i32, dump_plan: &mut DumpPlan) -> Result<()> {
        if self.all.iter().any(|(memory, _)| memory.segment.as_ref().is_some_and(|known| known.id() == id)) {
            return Ok(());
        }
        let (segment, attached) = Segment::of(id, None)?;
        if attached > 0 {
            let why = format!("{}: is attached, but not by the job", segment.label());
            return Err(Error::unsupported(why));
        }
        let label = segment.label();
        let what = || format!("map {label}");
        // Its times and its last user show that we are attached for a moment.
        let attached = Attached::to_read(id).context(what)?;
        let text = std::fs::read("/proc/self/maps").context(what)?;
        let own = maps::parse(&text).find(|mapping| mapping.start == attached.start());
        let range = own.map(|mapping| mapping.range()).unwrap_or_default();
        let file = File::open(format!("/proc/self/map_files/{:x}-{:x}", range.start, range.end));
        let file = file.context(what)?;
        // Huge pages are the blocks of hugetlbfs.
        let page = rustix::fs::fstatfs(&file).context(what)?.f_bsize as u64;
        self.add_mapped(segment, &file, page, dump_plan).context(what).map(drop)
    }

    /// Adds a segment that is read through a mapping: what was written behind its end, up to the
    /// next page, is not visible to read(2).
    fn add_mapped(
        &mut self,
        segment: Segment,
        file: &File,
        page: u64,
        dump_plan: &mut DumpPlan,
    ) -> std::io::Result<usize> {
        let meta = file.metadata()?;
        let id = ObjectId { node: (meta.dev(), meta.ino()), is_segment: true };
        let ranges = dump::data_ranges(file, meta.len())?;
        let whole = meta.len().next_multiple_of(page);
        let source = DataSource::Mapping(SharedMapping::of_file(file.as_fd(), whole as usize)?);
        Ok(self.add_new(id, Some(segment), (meta.len(), page), ranges, source, dump_plan))
    }

    fn add_new(
        &mut self,
        id: ObjectId,
        segment: Option<Segment>,
        (size, page): (u64, u64),
        ranges: Vec<Range>,
        source: DataSource,
        dump_plan: &mut DumpPlan,
    ) -> usize {
        let owner = dump_plan.owner();
        let source = dump_plan.source(source);
        dump_plan.add(owner, source, ranges.iter().cloned(), false);
        self.populated.push(ranges);
        self.all.push((SharedMemory { size, page, content: Vec::new(), segment }, owner));
        self.known.insert(id, self.all.len() - 1);
        self.all.len() - 1
    }

    /// Size of an object in whole pages.
    pub fn whole_size(&self, object: usize) -> u64 {
        self.all[object].0.whole_size()
    }

    /// Segments with more mappings than those of the job.
    pub fn attached_elsewhere(&self, problems: &mut Problems) {
        for (all, at, ours) in self.attached.values().filter(|(all, _, ours)| all > ours) {
            let why =
                format!(": the System V shared memory has {all} mappings, and the job has {ours} of them");
            problems.push(Problem::external(at.clone(), External::SharedMemory, why));
        }
    }

    /// Addresses in a mapping of shared memory at which the object is populated.
    pub fn populated_in(&self, vma: &Vma) -> Vec<Range> {
        let Backing::Shared { object, offset, .. } = vma.backing else { return Vec::new() };
        let shown = offset..offset + (vma.end - vma.start);
        let inside = self.populated[object].iter().filter(|r| r.start < shown.end && r.end > shown.start);
        let address = |at: u64| vma.start + (at.clamp(shown.start, shown.end) - offset);
        inside.map(|range| address(range.start)..address(range.end)).collect()
    }

    /// What identifies each object, with its index.
    pub fn identities(&self) -> impl Iterator<Item = (ObjectId, usize)> {
        self.known.iter().map(|(id, index)| (*id, *index))
    }

    /// The table for the records.
    pub fn finish(self, extents: &mut dyn FnMut(Owner) -> Vec<Extent>) -> Vec<SharedMemory> {
        self.all
            .into_iter()
            .map(|(memory, owner)| SharedMemory { content: extents(owner), ..memory })
            .collect()
    }
}
