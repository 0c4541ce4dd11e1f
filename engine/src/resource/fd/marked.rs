//! Where the files are that inotify and fanotify watch: the kernel shows a handle of each, and of
//! that the path is found.

use crate::proc::notify::Marked;
use crate::sys::file::{link_to, open_by_handle};
use procfs::process::MountInfo;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A handle (`O_PATH`) to the file under a path by which it can be opened, if there is any.
///
/// # Errors
/// EPERM without CAP_DAC_READ_SEARCH, unless it is a mount point.
pub fn open(shown: &Marked, mounts: &[MountInfo]) -> Result<Option<OwnedFd>, Errno> {
    let mut denied = None;
    let number = format!("{}:{}", shown.device.0, shown.device.1);
    for point in mounts.iter().filter(|mount| mount.majmin == number).map(|mount| &mount.mount_point) {
        let mount = open_path(point).ok().filter(|mount| is(shown, mount));
        let found = mount.or_else(|| {
            by_handle(shown, point).unwrap_or_else(|errno| {
                denied = Some(errno).filter(|errno| *errno == Errno::PERM).or(denied);
                None
            })
        });
        if let Some(found) = found.filter(leads_back) {
            return Ok(Some(found));
        }
    }
    denied.map_or(Ok(None), Err)
}

/// The file in the file system that is mounted there.
fn by_handle(shown: &Marked, point: &Path) -> Result<Option<OwnedFd>, Errno> {
    let Some((kind, bytes)) = &shown.handle else { return Ok(None) };
    let root = open_path(point)?;
    let found = open_by_handle(root.as_fd(), *kind, bytes, libc::O_PATH | libc::O_CLOEXEC);
    let found = found.map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))?;
    Ok(is(shown, &found).then_some(found))
}

fn is(shown: &Marked, fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_ino == shown.inode)
}

/// All mounts, those of the root of a file system first; none if they cannot be read.
pub fn mounts() -> Vec<MountInfo> {
    let all = procfs::process::Process::myself().and_then(|own| own.mountinfo());
    let mut all: Vec<MountInfo> = all.into_iter().flatten().collect();
    all.sort_by_key(|mount| mount.root != "/");
    all
}

pub fn is_in_proc(fd: &OwnedFd) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|about| about.f_type == super::procfs::PROC_SUPER_MAGIC)
}

pub fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Whether the path that /proc shows for a handle leads to the same file.
fn leads_back(fd: &OwnedFd) -> bool {
    let node = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    let there = std::fs::read_link(link_to(fd)).and_then(std::fs::symlink_metadata).map(node);
    let here = fd.try_clone().and_then(|fd| File::from(fd).metadata()).map(node);
    matches!((there, here), (Ok(there), Ok(here)) if there == here)
}
