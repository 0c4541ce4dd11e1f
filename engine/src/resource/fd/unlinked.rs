//! Files, FIFOs and directories that had lost their names: made under their old names, which are
//! taken away again at once.
//!
//! A name there has to be, though only for two system calls: /proc shows the name by which a file
//! was made or opened, and one of `O_TMPFILE` would have to get its name with the contents in it.
//! While it is there the file is empty and has mode 0600; what it held is filled in afterwards.
//! Owner and permissions are set when everything is open on it. An heir takes the names away when
//! we are killed.
//!
//! The directories belong to others, who may exchange them for something else at any moment. So
//! every step goes from a descriptor of a directory to a name in it, and follows no link.

use super::inode::{Inode, has_client};
use crate::error::{Context, Error, Result};
use crate::image::Extent;
use crate::resource::attributes::{self, Attribute, Stage};
use crate::restart::changes::explain;
use crate::sys;
use crate::sys::guard::Heir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// A file whose name is gone: everything that has to be made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlinked {
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Access and modification time in nanoseconds since the epoch.
    pub times: (i64, i64),
    /// Bytes, of a regular file.
    pub size: u64,
    /// Its contents; what is in no extent is a hole.
    pub content: Vec<Extent>,
    /// Extended attributes, access control lists among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<Attribute>,
    /// What chattr(1) has set, `FS_*_FL`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u32,
}

fn is_zero(flags: &u32) -> bool {
    *flags == 0
}

/// How what has lost its name is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// By open(2), with contents to be filled in.
    Regular,
    /// By mkdir(2).
    Directory,
    /// By mknod(2).
    Fifo,
}

/// A directory that has a name for a while.
struct Directory {
    parent: OwnedFd,
    name: OsString,
    path: PathBuf,
}

/// The directories made on the way; those that are left are removed when this is dropped.
#[derive(Default)]
pub struct Maker {
    /// The newest last.
    directories: Vec<Directory>,
    /// Directories without a name, by the path that they had: what was in them is made in these.
    own: HashMap<PathBuf, OwnedFd>,
    /// There while any name is.
    heir: Option<Heir>,
}

/// Asked for descriptors that only the name can give.
type Early<'a> = &'a mut dyn FnMut(&OwnedFd, &OsStr, &File) -> Result<()>;

impl Maker {
    /// Makes an inode, empty. `early` is called once while it has its name, with its directory. The
    /// name of a directory stays until [`Maker::remove_directories`].
    ///
    /// # Errors
    /// *conflict* for a path that leads through a link by now; what the kernel says.
    pub fn make(&mut self, inode: &Inode, how: Unnamed, early: Early<'_>) -> Result<File> {
        let path = inode.path.as_path();
        let what = || format!("make {} (unlinked)", path.display());
        let Some(own) = path.file_name() else {
            return Err(Error::Conflict(format!("{}: no name of a file", path.display())));
        };
        let before = self.directories.len();
        let parent = self.open_parent(path)?;
        const ENOUGH: u32 = 1000;
        let beside = (0..ENOUGH).map(|n| stand_in(Path::new(own), n).into_os_string());
        for name in std::iter::once(own.to_os_string()).chain(beside) {
            if rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                continue;
            }
            self.appoint_heir(&parent, &name).context(what)?;
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
            // Somebody has moved it away, or linked it; or the client of the file system has, which
            // keeps a name for what is open.
            let named = made.metadata().context(what)?.nlink() > 0;
            if named && !has_client(rustix::fs::fstatfs(&made).context(what)?.f_type) {
                return Err(exchanged(path));
            }
            self.remove_from(before)?;
            return Ok(made);
        }
        Err(Error::Conflict(format!("{}: no free name beside it", path.display())))
    }

    /// Takes away the names of directories.
    ///
    /// # Errors
    /// What unlinkat(2) says: EEXIST when somebody has put something into one of them.
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
            self.heir = None;
        }
        Ok(())
    }

    /// Before a name is made: from now on somebody will take it away, and all those before, when we
    /// are killed.
    fn appoint_heir(&mut self, dir: &OwnedFd, name: &OsStr) -> std::io::Result<()> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let directories = &self.directories;
        let heir = Heir::appoint(|| {
            // What fails here has nobody left to be told.
            if is_ours(dir, name, (now.tv_sec, now.tv_nsec)) {
                let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
                let _ = rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
            }
            for Directory { parent, name, .. } in directories.iter().rev() {
                let _ = rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
            }
        })?;
        // The one before goes only now.
        self.heir = Some(heir);
        Ok(())
    }

    /// The directory in which a path is. Those that are gone are made, until names are removed.
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
                _ => return Err(Error::Conflict(format!("{}: no path that /proc gives", path.display()))),
            };
            at.push(name);
            let mut next = rustix::fs::openat(&dir, name, flags, Mode::empty());
            if next.as_ref().is_err_and(|err| *err == Errno::NOENT) {
                self.appoint_heir(&dir, name).context(|| what(&at))?;
                match rustix::fs::mkdirat(&dir, name, Mode::RWXU) {
                    Ok(()) => {
                        let parent = dir.try_clone().context(|| what(&at))?;
                        self.directories.push(Directory { parent, name: name.into(), path: at.clone() });
                    }
                    // Somebody was faster.
                    Err(Errno::EXIST) => {}
                    Err(err) => return Err(err).context(|| format!("make directory {}", at.display())),
                }
                next = rustix::fs::openat(&dir, name, flags, Mode::empty());
            }
            dir = match next {
                Ok(next) => next,
                // O_DIRECTORY complains of a link first.
                Err(Errno::NOTDIR) if is_link(&dir, name) => return Err(explain(&at, Errno::LOOP.into())),
                Err(err @ (Errno::NOTDIR | Errno::LOOP)) => return Err(explain(&at, err.into())),
                Err(err) => return Err(err).context(|| what(&at)),
            };
        }
        Ok(dir)
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        // Only after a failure are there any left; the failure is what gets reported.
        let _ = self.remove_from(0);
    }
}

/// Whether a name that was not there at a time is one that we have made since: of something empty
/// that is open to nobody else.
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
    Error::Conflict(format!("{}: somebody exchanges what is made there", path.display()))
}

/// Makes what has this name; a regular file comes open.
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

/// Opens a directory or FIFO that we have just made; nothing when it is another one.
fn open_made(how: Unnamed, dir: &OwnedFd, name: &OsStr) -> Result<Option<File>, Errno> {
    let more = match how {
        Unnamed::Directory => OFlags::DIRECTORY,
        // Does not wait for a writer, and is none.
        _ => OFlags::NONBLOCK,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    let want = if how == Unnamed::Directory { FileType::Directory } else { FileType::Fifo };
    let ours = stat.st_uid == rustix::process::geteuid().as_raw();
    Ok((ours && FileType::from_raw_mode(stat.st_mode) == want).then_some(file))
}

/// Opens what has a name for this moment by that name, which must lead to `made`.
///
/// # Errors
/// *conflict* when it leads to something else.
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

/// Sets the status flags of a description that had to be opened with others.
///
/// # Errors
/// What fcntl(2) says.
pub fn set_flags(fd: &OwnedFd, flags: i32) -> Result<()> {
    rustix::fs::fcntl_setfl(fd, OFlags::from_bits_retain(flags as u32)).context(|| "set flags of open file")
}

/// Owner, attributes and permissions, in this order: chown(2) takes the set-id bits and file
/// capabilities away.
///
/// # Errors
/// *denied* for an owner who is not us, without CAP_CHOWN.
pub fn dress(made: &File, unlinked: &Unlinked, path: &Path) -> Result<()> {
    let what = || format!("set owner and permissions of {} (unlinked)", path.display());
    let meta = made.metadata().context(what)?;
    if (meta.uid(), meta.gid()) != unlinked.owner {
        std::os::unix::fs::fchown(made, Some(unlinked.owner.0), Some(unlinked.owner.1)).context(what)?;
    }
    attributes::rebuild(&unlinked.xattrs, &sys::file::link_to(made), path)?;
    rustix::fs::fchmod(made, Mode::from_raw_mode(unlinked.mode)).context(what)
}

/// The flags that an empty file can be given.
///
/// # Errors
/// *conflict* where there are no such flags.
pub fn set_first_flags(made: &File, unlinked: &Unlinked, path: &Path) -> Result<()> {
    attributes::set_flags(unlinked.flags, Stage::Empty, made, path)
}

/// Between a name that is taken and the number that makes it a stand-in.
const STAND_IN: &str = ".cairn-";

/// The `n`th name beside `name`, for an unlinked file whose own name is taken by another one when
/// it is made again.
fn stand_in(name: &Path, n: u32) -> PathBuf {
    let mut name = name.as_os_str().to_os_string();
    name.push(format!("{STAND_IN}{n}"));
    name.into()
}

/// The name that a stand-in stands for, so that names do not grow from one restart to the next; any
/// other name as it is.
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
