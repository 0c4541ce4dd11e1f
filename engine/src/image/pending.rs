//! A file that has no name, or a hidden one, until it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::Error;

/// How many hidden names are tried before giving up.
const NAME_ATTEMPTS: u32 = 1000;

/// A file being written for a name that it does not have yet. Dropped before [`Pending::publish`], it leaves
/// nothing behind; when the process is killed, an unnamed file vanishes too, a hidden one stays.
pub(super) struct Pending {
    file: File,
    path: PathBuf,
    dir: OwnedFd,
    name: OsString,
    /// The hidden name in `dir`; none for an unnamed file (`O_TMPFILE`).
    hidden: Option<String>,
}

impl Pending {
    /// Creates the file in the directory of `path`, with mode 0600 less the umask.
    ///
    /// # Errors
    /// [`Error::Io`]; also when `path` exists and is neither a regular file nor a symbolic link, since publishing
    /// would replace it. A link itself is replaced, never followed: in a directory open to all it might be a trap.
    pub(super) fn create(path: &Path) -> Result<Pending, Error> {
        let name = path.file_name().ok_or_else(|| Error::io("create", path, Errno::ISDIR))?.to_owned();
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let dir = rustix::fs::openat(
            CWD,
            parent,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| Error::io("open directory", parent, errno))?;
        refuse_special(&dir, &name).map_err(|errno| Error::io("replace", path, errno))?;
        let (file, hidden) = open_unnamed(&dir)
            .or_else(|_| open_hidden(&dir))
            .map_err(|errno| Error::io("create", path, errno))?;
        Ok(Pending { file, path: path.to_owned(), dir, name, hidden })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, in place of whatever had it. With `durable`, file and directory reach the disk:
    /// the contents before the name, the name before this returns.
    pub(super) fn publish(mut self, durable: bool) -> Result<(), Error> {
        if durable {
            let written = self.file.metadata().map_or(0, |meta| meta.len());
            self.file.sync_all().map_err(|err| Error::write("sync", &self.path, written, err))?;
        }
        let named = match &self.hidden {
            None => match link_fd(&self.file, &self.dir, &self.name) {
                // linkat(2) replaces nothing, rename(2) does, but needs a name to start from.
                Err(Errno::EXIST) => hidden_names()
                    .find_map(|hidden| match link_fd(&self.file, &self.dir, OsStr::new(&hidden)) {
                        Err(Errno::EXIST) => None,
                        Err(errno) => Some(Err(errno)),
                        Ok(()) => {
                            self.hidden = Some(hidden);
                            Some(Ok(()))
                        }
                    })
                    .unwrap_or(Err(Errno::EXIST)),
                other => other,
            },
            Some(_) => Ok(()),
        };
        named.map_err(|errno| Error::io("name", &self.path, errno))?;
        if let Some(hidden) = &self.hidden {
            rustix::fs::renameat(&self.dir, hidden, &self.dir, &self.name)
                .map_err(|errno| Error::io("name", &self.path, errno))?;
            self.hidden = None;
        }
        if durable {
            rustix::fs::fsync(&self.dir)
                .map_err(|errno| Error::io("sync directory of", &self.path, errno))?;
        }
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            // Best effort on the way out of another failure, which is the one worth telling.
            let _ = rustix::fs::unlinkat(&self.dir, hidden, AtFlags::empty());
        }
    }
}

/// Renaming over a directory, device, FIFO or socket is never what somebody meant.
fn refuse_special(dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Symlink => Ok(()),
            FileType::Directory => Err(Errno::ISDIR),
            _ => Err(Errno::EXIST),
        },
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A file without a name, where the file system has such and /proc can give it one later.
fn open_unnamed(dir: &OwnedFd) -> Result<(File, Option<String>), Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, ".", flags, Mode::RUSR | Mode::WUSR)?);
    rustix::fs::statat(CWD, fd_path(&file), AtFlags::empty())?;
    Ok((file, None))
}

fn open_hidden(dir: &OwnedFd) -> Result<(File, Option<String>), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    for name in hidden_names() {
        match rustix::fs::openat(dir, &name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok((File::from(fd), Some(name))),
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}

/// open(2), O_TMPFILE: linking by way of /proc needs no capability, unlike `AT_EMPTY_PATH`.
fn link_fd(file: &File, dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    rustix::fs::linkat(CWD, fd_path(file), dir.as_fd(), name, AtFlags::SYMLINK_FOLLOW)
}

fn fd_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn hidden_names() -> impl Iterator<Item = String> {
    let pid = std::process::id();
    (0..NAME_ATTEMPTS).map(move |n| format!(".cairn-{pid}-{n}.partial"))
}
