//! System V shared memory: a shared memory object with an id, mapped by shmat(2).

use super::{Object, Permissions, ensure};
use crate::error::{Context, Result};
use crate::resource::created::Created;
use crate::sys::mapping::SharedMapping;
use crate::sys::page_size;
use crate::sys::sysv::{self, SegmentStat};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;

/// Its kind in messages.
const KIND: &str = "shared memory";
/// `SHM_DEST`: removed, but mapped (include/linux/shm.h).
const DEST: u32 = 0o1000;
/// `SHM_LOCKED`
const LOCKED: u32 = 0o2000;

/// What a segment is besides memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Id, owner and permissions.
    pub permissions: Permissions,
    /// Size in bytes, as asked for.
    pub size: u64,
    /// PID of the process that created it.
    pub creator: i32,
    /// Removed: its key leads to it no longer, and it is gone with the last mapping.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// `SHM_LOCK`
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
}

/// The key in the name of a mapping of a segment: `/SYSV0000002a (deleted)`.
pub fn key_of(path: &[u8]) -> Option<i32> {
    let key = path.strip_prefix(b"/SYSV")?.strip_suffix(b" (deleted)")?;
    u32::from_str_radix(std::str::from_utf8(key).ok()?, 16).ok().map(|key| key as i32)
}

/// Whether a file with such a name is a segment: these are on the file systems of memfds.
///
/// # Errors
/// As memfd_create(2).
pub fn is_on_own_device(file: &Metadata, page: u64) -> Result<bool> {
    let size = MemfdFlags::from_bits_retain(page.trailing_zeros() << libc::MFD_HUGE_SHIFT);
    let flags = if page == page_size() { MemfdFlags::empty() } else { size | MemfdFlags::HUGETLB };
    let memfd = memfd_create(c"cairn", flags | MemfdFlags::CLOEXEC).context(|| "make a memfd")?;
    let own = rustix::fs::fstat(&memfd).context(|| "stat a memfd")?;
    Ok(file.dev() == own.st_dev)
}

impl Segment {
    /// Describes the segment of an id, and how many mappings it has; `key` is that in their names,
    /// which a removed one has lost otherwise.
    ///
    /// # Errors
    /// As shmctl(2).
    pub fn of(id: i32, key: Option<i32>) -> Result<(Self, u64)> {
        let stat = sysv::segment(id).context(|| format!("describe System V shared memory {id}"))?;
        let mut permissions = Permissions::of(id, &stat.permissions);
        permissions.key = key.unwrap_or(permissions.key);
        let mode = stat.permissions.mode;
        let SegmentStat { size, creator, attached, .. } = stat;
        let (removed, locked) = (mode & DEST != 0, mode & LOCKED != 0);
        Ok((Segment { permissions, size, creator, removed, locked }, attached))
    }

    /// The id that the kernel gave it.
    pub fn id(&self) -> i32 {
        self.permissions.id
    }

    /// Its name in messages.
    pub fn label(&self) -> String {
        self.permissions.label(KIND)
    }

    /// Checks a record of an object of this size, in pages of `page` bytes.
    ///
    /// # Errors
    /// What is wrong.
    pub fn validate(&self, object_size: u64, page: u64) -> Result<(), String> {
        self.permissions.validate()?;
        let fits = self.size > 0 && self.size <= object_size && object_size - self.size < page;
        if fits { Ok(()) } else { Err("invalid size of a segment".into()) }
    }

    fn as_object(&self, page: u64) -> Creation<'_> {
        Creation { segment: self, page, permissions: self.permissions.clone() }
    }

    /// Whether the segment is still there, left behind by its job.
    ///
    /// # Errors
    /// *conflict* if its id or key is another's.
    pub fn is_there(&self) -> Result<bool> {
        (&self.as_object(page_size()) as &dyn Object).is_there()
    }

    /// Creates the segment, in pages of `page` bytes, unless it is there, and maps it. A removed
    /// one is gone with the last mapping.
    ///
    /// # Errors
    /// *conflict* for an id or key in use, or a limit of the kernel; *denied*.
    pub fn make(&self, page: u64, created: &mut Created) -> Result<SharedMapping> {
        let mut object = self.as_object(page);
        if self.removed && sysv::get_segment(self.permissions.key, 0, 0).is_ok() {
            // The key of a removed one is but a name, and leads to another.
            object.permissions.key = libc::IPC_PRIVATE;
        }
        ensure(&object, created)?;
        let (id, len) = (self.id(), self.size.next_multiple_of(page) as usize);
        let mapping = SharedMapping::attach(id, len).context(|| format!("map {}", self.label()))?;
        if self.removed {
            sysv::remove_segment(id).context(|| format!("mark {} removed", self.label()))?;
        }
        Ok(mapping)
    }

    /// Every process is attached: sets owner and permissions.
    ///
    /// # Errors
    /// As shmctl(2).
    pub fn finish(&self) -> Result<()> {
        self.as_object(page_size()).fill()
    }
}

/// A segment with what else it takes to create one.
struct Creation<'a> {
    segment: &'a Segment,
    page: u64,
    permissions: Permissions,
}

impl Object for Creation<'_> {
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    fn kind(&self) -> (&'static str, &'static str) {
        (KIND, "-m")
    }

    fn find(&self, id: i32) -> io::Result<(sysv::Permissions, Option<String>)> {
        let SegmentStat { permissions, size, attached, creator, .. } = sysv::segment(id)?;
        let wanted = self.segment.size;
        // Anybody's may have no key.
        let is_known = self.permissions.key != libc::IPC_PRIVATE || creator == self.segment.creator;
        let difference = if size != wanted {
            format!("has {size} bytes, not {wanted}")
        } else if attached > 0 {
            format!("is attached {attached} times")
        } else if self.segment.removed {
            "is not removed, as that of the job was".into()
        } else if !is_known {
            format!("was created by process {creator}, not {}", self.segment.creator)
        } else {
            return Ok((permissions, None));
        };
        Ok((permissions, Some(difference)))
    }

    fn of_key(&self, key: i32) -> io::Result<i32> {
        if self.segment.removed {
            return Err(io::ErrorKind::NotFound.into());
        }
        sysv::get_segment(key, 0, 0)
    }

    fn create(&self, flags: i32) -> io::Result<i32> {
        let huge = libc::SHM_HUGETLB | (self.page.trailing_zeros() as i32) << libc::MAP_HUGE_SHIFT;
        let huge = if self.page == page_size() { 0 } else { huge };
        sysv::get_segment(self.permissions.key, self.segment.size, flags | huge)
    }

    fn remove(&self) -> fn(i32) -> io::Result<()> {
        sysv::remove_segment
    }

    fn listed(&self) -> &'static str {
        "shm"
    }

    fn fill(&self) -> Result<()> {
        let Permissions { id, owner, mode, .. } = self.permissions;
        let what = || format!("set owner of {}", self.segment.label());
        sysv::lock_segment(id, self.segment.locked).context(what)?;
        sysv::set_segment(id, owner, mode).context(what)
    }

    fn validate(&self) -> Result<(), String> {
        self.segment.validate(self.segment.size, self.page)
    }
}
