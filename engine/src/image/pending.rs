//! A file that has no name, or a hidden one, until it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_64;

use super::error::Error;
use super::layout::MAGIC;

/// An open file and its hidden name, if it has one.
type Opened = Result<(File, Option<String>), Errno>;

/// How many hidden names are tried before giving up.
const NAME_ATTEMPTS: u32 = 1000;

/// A file being written for a name that it does not have yet. Dropped before [`Pending::publish`],
/// it leaves nothing behind; when the process is killed, an unnamed file vanishes too, a hidden one
/// stays until [`remove_partial`] or the next file of that name.
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
    /// [`Error::Io`]; [`Error::Taken`] when `path` is there and no regular file, since publishing
    /// would replace it. A link is neither replaced, for it may be one of the system's
    /// (`/dev/stdout`), nor followed, for in a directory open to all it might be a trap.
    pub(super) fn create(path: &Path) -> Result<Pending, Error> {
        Pending::create_by(path, |dir, name| open_unnamed(dir, name).or_else(|_| open_hidden(dir, name)))
    }

    fn create_by(path: &Path, open: impl FnOnce(&OwnedFd, &OsStr) -> Opened) -> Result<Pending, Error> {
        let (dir, name) = place(path)?;
        refuse_special(&dir, &name, path)?;
        // Best effort: what a killed one has left is in nobody's way.
        let _ = remove_stale(&dir, &name);
        let (file, hidden) = open(&dir, &name).map_err(|errno| Error::io("create", path, errno))?;
        Ok(Pending { file, path: path.to_owned(), dir, name, hidden })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, in place of whatever had it. With `durable`, file and directory
    /// reach the disk: the contents before the name, the name before this returns.
    pub(super) fn publish(mut self, durable: bool) -> Result<(), Error> {
        if durable {
            let written = self.file.metadata().map_or(0, |meta| meta.len());
            self.file.sync_all().map_err(|err| Error::write("sync", &self.path, written, err))?;
        }
        // Once more: meanwhile there has been time enough for something else to get there.
        refuse_special(&self.dir, &self.name, &self.path)?;
        let named = match &self.hidden {
            None => match link_fd(&self.file, &self.dir, &self.name) {
                // linkat(2) replaces nothing, rename(2) does, but needs a name to start from.
                Err(Errno::EXIST) => hidden_names(&self.name)
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

/// Directory and name of a path.
fn place(path: &Path) -> Result<(OwnedFd, OsString), Error> {
    let taken = || Error::Taken { path: path.to_owned(), what: "a directory", advice: "name a file in it" };
    let name = path.file_name().ok_or_else(taken)?.to_owned();
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(CWD, parent, flags, Mode::empty())
        .map_err(|errno| Error::io("open directory", parent, errno))?;
    Ok((dir, name))
}

/// Renaming over anything but a regular file is never what somebody meant.
fn refuse_special(dir: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), Error> {
    let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(|errno| Error::io("replace", path, errno))?,
    };
    const ELSEWHERE: &str = "name a regular file, or one that does not exist yet";
    let (what, advice) = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_size == 0 || begins_as_ours(dir, name) => return Ok(()),
        FileType::RegularFile => {
            ("a file of another kind", "name a file that does not exist yet, or a context file")
        }
        FileType::Symlink => ("a symbolic link", "name its target"),
        FileType::Directory => ("a directory", "name a file in it"),
        FileType::Fifo => ("a FIFO", ELSEWHERE),
        FileType::Socket => ("a socket", ELSEWHERE),
        _ => ("a device", ELSEWHERE),
    };
    Err(Error::Taken { path: path.to_owned(), what, advice })
}

/// Whether a file is, or was to be, a context file. One that may not be read is somebody else's.
fn begins_as_ours(dir: &OwnedFd, name: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut first = [0; MAGIC.len()];
    let read =
        rustix::fs::openat(dir, name, flags, Mode::empty()).and_then(|fd| rustix::io::read(fd, &mut first));
    read.is_ok_and(|len| first[..len] == MAGIC)
}

/// Removes what a killed writer of `path` has left under a hidden name, on file systems without
/// unnamed files (NFS). What is still being written is let alone.
///
/// # Errors
/// [`Error::Io`]
pub fn remove_partial(path: &Path) -> Result<(), Error> {
    let (dir, name) = place(path)?;
    remove_stale(&dir, &name).map_err(|errno| Error::io("remove partial file of", path, errno))
}

fn remove_stale(dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    let prefix = hidden_prefix(name);
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let hidden = entry.file_name();
        if !hidden.to_bytes().starts_with(prefix.as_bytes()) {
            continue;
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Somebody else's, or gone already.
        let Ok(file) = rustix::fs::openat(dir, hidden, flags, Mode::empty()) else { continue };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match rustix::fs::unlinkat(dir, hidden, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}

/// A file without a name, where the file system has such and /proc can give it one later.
fn open_unnamed(dir: &OwnedFd, _: &OsStr) -> Opened {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, ".", flags, Mode::RUSR | Mode::WUSR)?);
    rustix::fs::statat(CWD, fd_path(&file), AtFlags::empty())?;
    Ok((file, None))
}

/// A locked file with a hidden name: the lock of one whose writer was killed is free.
fn open_hidden(dir: &OwnedFd, name: &OsStr) -> Opened {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    for hidden in hidden_names(name) {
        let file = match rustix::fs::openat(dir, &hidden, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => File::from(fd),
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(errno),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Another one took it for stale before it was locked, and removes it.
            Err(Errno::WOULDBLOCK) => continue,
            // Not all file systems have locks.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK | Errno::INVAL) => {}
            other => other?,
        }
        if rustix::fs::fstat(&file)?.st_nlink > 0 {
            return Ok((file, Some(hidden)));
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

/// What all hidden names for a file of this name begin with: a digest, for the name may be as long
/// as names can be.
fn hidden_prefix(name: &OsStr) -> String {
    format!(".cairn-{:016x}-", xxh3_64(name.as_bytes()))
}

fn hidden_names(name: &OsStr) -> impl Iterator<Item = String> {
    let (prefix, pid) = (hidden_prefix(name), std::process::id());
    (0..NAME_ATTEMPTS).map(move |n| format!("{prefix}{pid}-{n}.partial"))
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
        #[values(open_unnamed, open_hidden)] open: fn(&OwnedFd, &OsStr) -> Opened,
        #[values(false, true)] taken: bool,
        #[values(false, true)] durable: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.1");
        if taken {
            fs::write(&path, MAGIC).unwrap();
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
    fn a_vanished_directory_is_an_error(
        #[values(open_unnamed, open_hidden)] open: fn(&OwnedFd, &OsStr) -> Opened,
    ) {
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

    /// A writer that was killed leaves its file unlocked.
    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.1");
        let stale = hidden_names(OsStr::new("context.1")).nth(7).unwrap();
        let other = hidden_names(OsStr::new("context.2")).next().unwrap();
        for name in [&stale, &other] {
            fs::write(dir.path().join(name), "half").unwrap();
        }
        let running = Pending::create_by(&path, open_hidden).unwrap();
        let mut left = names(dir.path());
        left.sort();
        let mut want = vec![other.clone(), running.hidden.clone().unwrap()];
        want.sort();
        assert_eq!(left, want);

        fs::write(dir.path().join(&stale), "half").unwrap();
        remove_partial(&path).unwrap();
        assert!(!dir.path().join(&stale).exists());
        running.publish(false).unwrap();
        let mut left = names(dir.path());
        left.sort();
        assert_eq!(left, [other, "context.1".into()]);
    }

    #[rstest]
    #[case::link("a symbolic link", |path: &Path| std::os::unix::fs::symlink("/dev/null", path).unwrap())]
    #[case::directory("a directory", |path: &Path| fs::create_dir(path).unwrap())]
    #[case::fifo("a FIFO", |path: &Path| rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap())]
    #[case::socket("a socket", |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()))]
    fn only_a_regular_file_is_replaced(
        #[case] what: &str,
        #[case] make: fn(&Path),
        #[values(false, true)] late: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.1");
        let pending = late.then(|| Pending::create(&path).unwrap());
        make(&path);
        let before = fs::symlink_metadata(&path).unwrap().file_type();
        let err = match pending {
            Some(pending) => pending.publish(false).unwrap_err(),
            None => Pending::create(&path).err().unwrap(),
        };
        assert!(err.to_string().contains(&format!("context.1 is {what}")), "{err}");
        assert_eq!(fs::symlink_metadata(&path).unwrap().file_type(), before);
    }
}
