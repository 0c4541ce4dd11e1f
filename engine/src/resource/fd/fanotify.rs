//! fanotify(7): which files, mounts and file systems a group has marked, for which events.
//!
//! The kernel shows a marked file as a file handle, a mount by its number, and a file system by its
//! device (fs/notify/fdinfo.c). A restart has the file or the mount point open as every other file.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::marked::{self, is_in_proc, open_path};
use super::{Identity, Kind, Made, Once, Reference, Verbs, Way};
use crate::error::{Context, Error, Problem, Result, Subject};
use crate::proc::fdinfo::FdInfo;
use crate::proc::notify::{self, EXECUTING, On, PERMISSION, READING};
use crate::proc::status;
use crate::resource::is_default;
use crate::sys::fanotify;
use crate::sys::file::link_to;
use procfs::process::MountInfo;
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};

/// The state of a fanotify group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fanotify {
    /// As given to fanotify_init(2).
    pub flags: u32,
    /// `O_*` of the descriptors in its events.
    pub event_flags: u32,
    /// Whether it was made without CAP_SYS_ADMIN: then it is not told who has done something.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unprivileged: bool,
    /// In the order in which the kernel shows them.
    pub marks: Vec<Mark>,
}

/// What is marked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// A file, a mount or a file system.
    pub on: Object,
    /// Index of the handle (`O_PATH`) to it, or to where it is mounted.
    pub file: usize,
    /// `FAN_MARK_*` that stay with it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flags: u32,
    /// `FAN_*`
    pub mask: u64,
    /// Those that are ignored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignored: u64,
}

/// What a mark is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// A file or directory.
    Inode,
    /// A mount.
    Mount,
    /// A file system.
    FileSystem,
}

impl Object {
    fn flag(self) -> u32 {
        match self {
            Object::Inode => libc::FAN_MARK_INODE,
            Object::Mount => libc::FAN_MARK_MOUNT,
            Object::FileSystem => libc::FAN_MARK_FILESYSTEM,
        }
    }
}

/// Flags that stay with a mark.
const STAYING: u32 = libc::FAN_MARK_IGNORED_SURV_MODIFY | libc::FAN_MARK_EVICTABLE | libc::FAN_MARK_IGNORE;
const ALL_READING: u64 = READING as u64 | EXECUTING;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    (seen.link.0 == b"anon_inode:[fanotify]").then(|| Ok(Kind::Fanotify(Fanotify::default())))
}

/// A handle to where a mount is, unless another one hides it.
fn mount_point(id: i32, mounts: &[MountInfo]) -> Option<OwnedFd> {
    let handle = open_path(&mounts.iter().find(|mount| mount.mnt_id == id)?.mount_point).ok()?;
    let shown = statx(&handle, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    (shown.stx_mask & StatxFlags::MNT_ID.bits() != 0 && shown.stx_mnt_id == id as u64).then_some(handle)
}

/// A handle to a mount point of a file system.
fn somewhere_in((major, minor): (u32, u32), mounts: &[MountInfo]) -> Option<OwnedFd> {
    let number = format!("{major}:{minor}");
    let points = mounts.iter().filter(|mount| mount.majmin == number);
    points.filter_map(|mount| open_path(&mount.mount_point).ok()).find(|handle| {
        let shown = statx(handle, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
        shown.is_ok_and(|shown| (shown.stx_dev_major, shown.stx_dev_minor) == (major, minor))
    })
}

impl Verbs for Fanotify {
    fn name(&self) -> &'static str {
        "fanotify group"
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn refers_to(&self) -> Vec<Reference> {
        self.marks.iter().map(|mark| Reference::File(mark.file)).collect()
    }

    fn uses(&mut self, info: &FdInfo, at: &Subject) -> Result<Vec<OwnedFd>> {
        let refuse = |why: String| Err(Error::unsupported(Problem::of(at.clone(), why)));
        let Some((flags, event_flags)) = notify::group(info) else {
            return refuse(": cannot read how its fanotify group was made".into());
        };
        (self.flags, self.event_flags) = (flags, event_flags);
        let (mounts, mut handles) = (marked::mounts(), Vec::new());
        for mark in notify::marks(info) {
            let Some(notify::Mark { on, flags, mask, ignored }) =
                mark.filter(|mark| mark.flags & !STAYING == 0)
            else {
                return refuse(
                    " is a fanotify group with a mark of a kind that is not known; remove it first".into(),
                );
            };
            let reads = mask & ALL_READING != 0;
            let (on, handle, what) = match on {
                On::Inode(file) => {
                    let what = format!("a file (inode {})", file.inode);
                    (Object::Inode, marked::open(&file, &mounts).ok().flatten(), what)
                }
                On::Mount(id) => (Object::Mount, mount_point(id, &mounts), format!("a mount (number {id})")),
                On::FileSystem(device) => {
                    let what = format!("a file system (device {}:{})", device.0, device.1);
                    (Object::FileSystem, somewhere_in(device, &mounts), what)
                }
            };
            let Some(handle) = handle else {
                return refuse(format!(
                    " is a fanotify group that has marked {what} whose path is not found; remove the mark first, or run cairn as root"
                ));
            };
            if reads && (on != Object::Inode || is_in_proc(&handle)) {
                return refuse(format!(
                    " is a fanotify group that has marked {what} for files being opened or read, which a checkpoint does; remove the mark first"
                ));
            }
            self.marks.push(Mark { on, file: 0, flags, mask, ignored });
            handles.push(handle);
        }
        Ok(handles)
    }

    fn set_used(&mut self, files: Vec<usize>) {
        for (mark, file) in self.marks.iter_mut().zip(files) {
            mark.file = file;
        }
    }

    fn notices_reading(&self) -> Vec<usize> {
        let reading = self.marks.iter().filter(|mark| mark.mask & ALL_READING != 0);
        reading.map(|mark| mark.file).collect()
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let process = descriptor.process;
        let effective = status::of_thread(process.pid, process.by)?.capeff;
        self.unprivileged = effective & CapabilitySet::SYS_ADMIN.bits() == 0;
        let what = || format!("{}: read the length of its queue", descriptor.at());
        if rustix::io::ioctl_fionread(descriptor.duplicate()?).context(what)? == 0 {
            return Ok(());
        }
        let why = " is a fanotify group with events that have not been read, which cannot be put back; let the job read them";
        Err(Error::unsupported_now(Problem::of(descriptor.at(), why)))
    }

    fn validate(&self) -> std::result::Result<(), String> {
        let valid = |mark: &Mark| mark.flags & !STAYING == 0 && (mark.mask | mark.ignored) & PERMISSION == 0;
        if self.marks.iter().all(valid) { Ok(()) } else { Err("an invalid fanotify mark".into()) }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let what = || "make fanotify group (see /proc/sys/fs/fanotify/max_user_groups)";
        let before = capabilities(None).context(what)?;
        if self.unprivileged {
            let mut fewer = before;
            fewer.effective -= CapabilitySet::SYS_ADMIN;
            set_capabilities(None, fewer).context(what)?;
        }
        let made = fanotify::init(self.flags, self.event_flags);
        set_capabilities(None, before).context(what)?;
        let made = made.context(what)?;
        rustix::io::fcntl_setfd(&made, rustix::io::FdFlags::CLOEXEC).context(what)?;
        Ok(Box::new(Once::new(made)))
    }

    fn is_finished_last(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Marks the files. What happened to them until now is none of the job's.
    fn finish(&self, fd: &OwnedFd, opened: &dyn Fn(usize) -> Result<OwnedFd>) -> Result<()> {
        // The last one is shown first (fs/notify/mark.c, `fsnotify_add_mark_locked`).
        for Mark { on, file, flags, mask, ignored } in self.marks.iter().rev() {
            let handle = opened(*file)?;
            let at = link_to(&handle);
            let add = |flags: u32, mask: u64| {
                let what = || "add fanotify mark (see /proc/sys/fs/fanotify/max_user_marks)";
                fanotify::mark(fd.as_fd(), libc::FAN_MARK_ADD | on.flag() | flags, mask, &at).context(what)
            };
            if *mask != 0 {
                add(flags & libc::FAN_MARK_EVICTABLE, *mask)?;
            }
            if *ignored != 0 {
                let newer = flags & libc::FAN_MARK_IGNORE != 0;
                add(if newer { *flags } else { flags | libc::FAN_MARK_IGNORED_MASK }, *ignored)?;
            }
        }
        Ok(())
    }
}

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Fanotify)) {
    for inode in &mut records.inodes {
        if let Kind::Fanotify(group) = &mut inode.kind {
            change(group);
        }
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "fanotify-mark-lost",
        what: "a fanotify group has one mark less",
        commit: |r| {
            each(r, |group| {
                group.marks.pop();
            });
        },
    },
    crate::resource::fault::Fault {
        name: "fanotify-nothing-ignored",
        what: "marks of fanotify ignore nothing",
        commit: |r| each(r, |group| group.marks.iter_mut().for_each(|mark| mark.ignored = 0)),
    },
];
