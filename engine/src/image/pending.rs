//! A file that has no name, or a hidden one, until it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::Error;

/// An open file and its hidden name, if it has one.
type Opened = Result<(File, Option<String>), Errno>;

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
        Pending::create_by(path, |dir| open_unnamed(dir).or_else(|_| open_hidden(dir)))
    }

    fn create_by(path: &Path, open: impl FnOnce(&OwnedFd) -> Opened) -> Result<Pending, Error> {
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
        let (file, hidden) = open(&dir).map_err(|errno| Error::io("create", path, errno))?;
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
fn open_unnamed(dir: &OwnedFd) -> Opened {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, ".", flags, Mode::RUSR | Mode::WUSR)?);
    rustix::fs::statat(CWD, fd_path(&file), AtFlags::empty())?;
    Ok((file, None))
}

fn open_hidden(dir: &OwnedFd) -> Opened {
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

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::io::Write;

    use rstest::rstest;

    use super::*;

    impl Pending {
        /// Lets another file stand in, such as a device that is always full.
        pub(in super::super) fn stand_in(&mut self, file: File) {
            self.file = file;
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// Both ways of being invisible, with the final name free and taken.
    #[rstest]
    fn appears_only_when_it_is_whole(
        #[values(open_unnamed, open_hidden)] open: fn(&OwnedFd) -> Opened,
        #[values(false, true)] taken: bool,
        #[values(false, true)] durable: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.1");
        if taken {
            fs::write(&path, "old").unwrap();
        }
        let before = fs::read(&path).ok();

        let pending = Pending::create_by(&path, open).unwrap();
        pending.file().write_all(b"given up").unwrap();
        drop(pending);
        assert_eq!(names(dir.path()).len(), usize::from(taken), "a given up file stays behind");

        let pending = Pending::create_by(&path, open).unwrap();
        pending.file().write_all(b"whole").unwrap();
        assert_eq!(fs::read(&path).ok(), before);
        pending.publish(durable).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(dir.path()), ["context.1"]);
    }

    #[rstest]
    fn a_vanished_directory_is_an_error(#[values(open_unnamed, open_hidden)] open: fn(&OwnedFd) -> Opened) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.1");
        let pending = Pending::create_by(&path, open).unwrap();
        dir.close().unwrap();
        assert!(matches!(pending.publish(false), Err(Error::Io { action: "name", .. })));
    }

    #[test]
    fn several_in_one_directory_do_not_meet() {
        let dir = tempfile::tempdir().unwrap();
        let pending: Vec<_> = (0..3)
            .map(|number| {
                let path = dir.path().join(format!("context.{number}"));
                let pending = Pending::create_by(&path, open_hidden).unwrap();
                write!(pending.file(), "{number}").unwrap();
                pending
            })
            .collect();
        pending.into_iter().for_each(|pending| pending.publish(false).unwrap());
        for number in 0..3 {
            let text = fs::read_to_string(dir.path().join(format!("context.{number}"))).unwrap();
            assert_eq!(text, number.to_string());
        }
    }
}
