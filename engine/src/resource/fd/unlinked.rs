//! Unlinked files, FIFOs and directories: created under their old names, which are removed at once.
//!
//! The name is needed, though only between two system calls: /proc shows the name under which a
//! file was created or opened, and an `O_TMPFILE` file could be named only with its contents in
//! place. While it has the name, the file is empty with mode 0600; the contents are written
//! afterwards. Owner and mode are set when everything is open on it. If we are killed, a successor
//! process removes the names.
//!
//! The directories belong to other users, who may replace them at any time. So every step uses a
//! directory descriptor and a name in it, and follows no symbolic link.

use crate::error::{Context, Error, Result};
use crate::image::Extent;
use crate::resource::attributes::{self, Attribute, Stage};
use crate::resource::is_default;
use crate::sys;
use crate::sys::file::{CIFS_SUPER_MAGIC, FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, SMB2_SUPER_MAGIC};
use crate::sys::guard::Successor;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// An unlinked inode: everything needed to recreate it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlinked {
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Access and modification time in nanoseconds since the epoch.
    pub times: (i64, i64),
    /// Size of a regular file in bytes.
    pub size: u64,
    /// Its contents; ranges in no extent are holes.
    pub content: Vec<Extent>,
    /// Extended attributes, including access control lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<Attribute>,
    /// Attributes of chattr(1), `FS_*_FL`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flags: u32,
}

/// Whether clients of this file system rename an open file instead of unlinking it.
fn has_client(fs: i64) -> bool {
    matches!(fs, NFS_SUPER_MAGIC | FUSE_SUPER_MAGIC | CIFS_SUPER_MAGIC | SMB2_SUPER_MAGIC)
}

/// How to recreate an unlinked inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// By open(2), with contents to be written.
    Regular,
    /// By mkdir(2).
    Directory,
    /// By mknod(2).
    Fifo,
}

/// A directory that has a name temporarily.
struct Directory {
    parent: OwnedFd,
    name: OsString,
    path: PathBuf,
}

/// Recreates unlinked inodes, with the directories they need; dropping it removes those left.
#[derive(Default)]
pub struct Maker {
    /// Directories with temporary names, newest last.
    directories: Vec<Directory>,
    /// Recreated unlinked directories, by their old path; inodes below are created in them.
    own: HashMap<PathBuf, OwnedFd>,
    /// Present while any name exists.
    successor: Option<Successor>,
}

/// Called to open descriptors that require the name.
type Early<'a> = &'a mut dyn FnMut(&OwnedFd, &OsStr, &File) -> Result<()>;

impl Maker {
    /// Creates an empty inode. `early` is called once while it has its name, with its directory.
    /// The name of a directory stays until [`Maker::remove_directories`].
    ///
    /// # Errors
    /// *conflict* for a path that leads through a symbolic link by now; what the kernel reports.
    pub fn make(&mut self, path: &Path, how: Unnamed, early: Early<'_>) -> Result<File> {
        let what = || format!("make {} (unlinked)", path.display());
        let Some(own) = path.file_name() else {
            return Err(Error::Conflict(format!("{}: has no file name", path.display())));
        };
        let before = self.directories.len();
        let parent = self.open_parent(path)?;
        const ENOUGH: u32 = 1000;
        let beside = (0..ENOUGH).map(|n| stand_in(Path::new(own), n).into_os_string());
        for name in std::iter::once(own.to_os_string()).chain(beside) {
            if rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                continue;
            }
            self.start_successor(&parent, &name).context(what)?;
            let made = match make_at(how, &parent, &name) {
                Err(Errno::EXIST) => continue,
                other => other.context(what)?,
            };
            let is_dir = how == Unnamed::Directory;
            let undo = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            let remove = || rustix::fs::unlinkat(&parent, &name, undo);
            let opened = match made {
                Some(file) => Ok(Some(file)),
                None => open_made(how, &parent, &name).context(what),
            };
            let made = opened.and_then(|file| {
                let file = file.ok_or_else(|| exchanged(path))?;
                early(&parent, &name, &file)?;
                Ok(file)
            });
            if is_dir && made.is_ok() {
                let copy = parent.try_clone().context(what)?;
                self.directories.push(Directory { parent: copy, name, path: path.to_path_buf() });
                if let Ok(file) = &made {
                    self.own.insert(path.to_path_buf(), file.try_clone().context(what)?.into());
                }
                return made;
            }
            let removed = match remove() {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(err) => Err(err).context(|| format!("remove {}", path.display())),
            };
            let made = made?;
            removed?;
            // It was renamed or linked by another process, or renamed by a file system client that
            // keeps a name for open files.
            let named = made.metadata().context(what)?.nlink() > 0;
            if named && !has_client(rustix::fs::fstatfs(&made).context(what)?.f_type) {
                return Err(exchanged(path));
            }
            self.remove_from(before)?;
            return Ok(made);
        }
        Err(Error::Conflict(format!("{}: no free name in its directory", path.display())))
    }

    /// Removes the names of directories.
    ///
    /// # Errors
    /// As unlinkat(2): EEXIST when another process has created something in one of them.
    pub fn remove_directories(&mut self) -> Result<()> {
        self.own.clear();
        self.remove_from(0)
    }

    fn remove_from(&mut self, first: usize) -> Result<()> {
        while self.directories.len() > first {
            let Some(Directory { parent, name, path }) = self.directories.pop() else { break };
            match rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(err) => return Err(err).context(|| format!("remove directory {}", path.display())),
            }
        }
        if self.directories.is_empty() {
            self.successor = None;
        }
        Ok(())
    }

    /// Called before a name is created: if we are killed, the successor removes it and all earlier
    /// ones.
    fn start_successor(&mut self, dir: &OwnedFd, name: &OsStr) -> std::io::Result<()> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let directories = &self.directories;
        let successor = Successor::start(None, || {
            // There is no one to report a failure to.
            if is_ours(dir, name, (now.tv_sec, now.tv_nsec)) {
                let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
                let _ = rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
            }
            for Directory { parent, name, .. } in directories.iter().rev() {
                let _ = rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
            }
        })?;
        // The previous successor is released only now.
        self.successor = Some(successor);
        Ok(())
    }

    /// Opens the parent directory of a path. Missing directories are created until names are
    /// removed.
    fn open_parent(&mut self, path: &Path) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = path.parent().unwrap_or(Path::new("/"));
        if let Some(own) = self.own.get(parent) {
            return own.try_clone().context(|| format!("duplicate {}", parent.display()));
        }
        let what = |at: &Path| format!("open {}", at.display());
        let mut at = PathBuf::from("/");
        let mut dir = rustix::fs::open("/", flags, Mode::empty()).context(|| what(&at))?;
        for component in parent.components() {
            let name = match component {
                Component::RootDir => continue,
                Component::Normal(name) => name,
                _ => {
                    return Err(Error::Conflict(format!("{}: not a path as /proc shows it", path.display())));
                }
            };
            at.push(name);
            let mut next = rustix::fs::openat(&dir, name, flags, Mode::empty());
            if next.as_ref().is_err_and(|err| *err == Errno::NOENT) {
                self.start_successor(&dir, name).context(|| what(&at))?;
                match rustix::fs::mkdirat(&dir, name, Mode::RWXU) {
                    Ok(()) => {
                        let parent = dir.try_clone().context(|| what(&at))?;
                        self.directories.push(Directory { parent, name: name.into(), path: at.clone() });
                    }
                    // Another process was faster.
                    Err(Errno::EXIST) => {}
                    Err(err) => return Err(err).context(|| format!("make directory {}", at.display())),
                }
                next = rustix::fs::openat(&dir, name, flags, Mode::empty());
            }
            dir = match next {
                Ok(next) => next,
                // With O_DIRECTORY a symbolic link fails with ENOTDIR first.
                Err(Errno::NOTDIR) if is_link(&dir, name) => {
                    return Err(Error::of_path(&at, Errno::LOOP.into()));
                }
                Err(err @ (Errno::NOTDIR | Errno::LOOP)) => return Err(Error::of_path(&at, err.into())),
                Err(err) => return Err(err).context(|| what(&at)),
            };
        }
        Ok(dir)
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        // Only left after a failure, which is what gets reported.
        let _ = self.remove_from(0);
    }
}

/// Whether a name that did not exist at `since` was created by us: it is empty and accessible to no
/// other user.
fn is_ours(dir: &OwnedFd, name: &OsStr, since: (i64, i64)) -> bool {
    let Ok(found) = rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) else {
        return false;
    };
    let Ok(meta) = File::from(found).metadata() else { return false };
    meta.uid() == rustix::process::geteuid().as_raw()
        && meta.mode() & 0o077 == 0
        && (meta.is_dir() || meta.len() == 0)
        && (meta.ctime(), meta.ctime_nsec()) >= since
}

fn is_link(dir: &OwnedFd, name: &OsStr) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn exchanged(path: &Path) -> Error {
    Error::Conflict(format!("{}: is being replaced by another process", path.display()))
}

/// Creates an inode with this name; a regular file is returned open.
fn make_at(how: Unnamed, dir: &OwnedFd, name: &OsStr) -> Result<Option<File>, Errno> {
    let mode = Mode::RUSR | Mode::WUSR;
    match how {
        Unnamed::Directory => rustix::fs::mkdirat(dir, name, mode | Mode::XUSR).map(|()| None),
        Unnamed::Fifo => rustix::fs::mknodat(dir, name, FileType::Fifo, mode, 0).map(|()| None),
        Unnamed::Regular => {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(dir, name, flags, mode).map(|fd| Some(File::from(fd)))
        }
    }
}

/// Opens a directory or FIFO just created; `None` when it is a different one.
fn open_made(how: Unnamed, dir: &OwnedFd, name: &OsStr) -> Result<Option<File>, Errno> {
    let more = match how {
        Unnamed::Directory => OFlags::DIRECTORY,
        // Neither waits for a writer nor is one.
        _ => OFlags::NONBLOCK,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    let want = if how == Unnamed::Directory { FileType::Directory } else { FileType::Fifo };
    let ours = stat.st_uid == rustix::process::geteuid().as_raw();
    Ok((ours && FileType::from_raw_mode(stat.st_mode) == want).then_some(file))
}

/// Opens a file by its temporary name, which must lead to `made`.
///
/// # Errors
/// *conflict* when it leads to another inode.
pub fn open_by_name(
    (dir, name): (&OwnedFd, &OsStr),
    flags: i32,
    made: &Metadata,
    path: &Path,
) -> Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(flags as u32) | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty());
    let file = File::from(file.context(|| format!("open {}", path.display()))?);
    let meta = file.metadata().context(|| format!("stat {}", path.display()))?;
    if (meta.dev(), meta.ino()) == (made.dev(), made.ino()) { Ok(file.into()) } else { Err(exchanged(path)) }
}

/// The flags to open a file with that gets its own by [`set_flags`]: without waiting, and without
/// `O_ASYNC`, which open(2) would note but not carry out.
pub fn to_open(flags: i32) -> i32 {
    if flags & libc::O_PATH != 0 { flags } else { (flags | libc::O_NONBLOCK) & !libc::O_ASYNC }
}

/// Sets the status flags of a description that had to be opened with others.
///
/// # Errors
/// As fcntl(2).
pub fn set_flags(fd: &OwnedFd, flags: i32) -> Result<()> {
    rustix::fs::fcntl_setfl(fd, OFlags::from_bits_retain(flags as u32)).context(|| "set flags of open file")
}

/// Sets owner, extended attributes and mode, in this order: chown(2) clears the set-id bits and
/// file capabilities.
///
/// # Errors
/// *denied* for a different owner, without CAP_CHOWN.
pub fn set_attributes(made: &File, unlinked: &Unlinked, path: &Path) -> Result<()> {
    let what = || format!("set owner and permissions of {} (unlinked)", path.display());
    let meta = made.metadata().context(what)?;
    if (meta.uid(), meta.gid()) != unlinked.owner {
        std::os::unix::fs::fchown(made, Some(unlinked.owner.0), Some(unlinked.owner.1)).context(what)?;
    }
    attributes::rebuild(&unlinked.xattrs, &sys::file::link_to(made), path)?;
    rustix::fs::fchmod(made, Mode::from_raw_mode(unlinked.mode)).context(what)
}

/// Sets the attributes that an empty file can have.
///
/// # Errors
/// *conflict* where the file system has no such attributes.
pub fn set_first_flags(made: &File, unlinked: &Unlinked, path: &Path) -> Result<()> {
    attributes::set_flags(unlinked.flags, Stage::Empty, made, path)
}

/// Separates a name that is taken from the number that makes it a stand-in.
const STAND_IN: &str = ".cairn-";

/// The `n`th alternative to `name`, for an unlinked file whose name is taken when it is recreated.
fn stand_in(name: &Path, n: u32) -> PathBuf {
    let mut name = name.as_os_str().to_os_string();
    name.push(format!("{STAND_IN}{n}"));
    name.into()
}

/// The original of a stand-in name, so that names do not grow from one restart to the next; any
/// other name unchanged.
pub fn without_stand_in(name: &[u8]) -> &[u8] {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match name[..name.len() - digits].strip_suffix(STAND_IN.as_bytes()) {
        Some(own) if digits > 0 && !own.is_empty() => own,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn only_a_stand_in_loses_its_end() {
        for name in ["/a", "/a.cairn-", "/a.cairn-x", "/a.cairn", "/7"] {
            assert_eq!(without_stand_in(name.as_bytes()), name.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn a_stand_in_leads_back(name in "/[a-z.0-9-]{1,20}[a-z]", n: u32) {
            let other = stand_in(Path::new(&name), n);
            prop_assert_eq!(without_stand_in(other.as_os_str().as_bytes()), name.as_bytes());
        }
    }
}
