//! What open files and mappings are *of*: named files, files without a name, directories, devices, pipes and FIFOs.

use super::bytes::PathBytes;
use super::pages::{self, Copying, Extent, Owner, Source};
use super::pipe::Pipe;
use crate::error::{Context, Error, Result};
use crate::sys::task;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The kind of an inode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InodeKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link, opened itself (`O_PATH | O_NOFOLLOW`).
    Symlink,
    /// A character device without state: null, zero, full, random, urandom.
    Device {
        /// Major and minor number.
        rdev: (u32, u32),
    },
    /// A FIFO with a name.
    Fifo(Pipe),
    /// A pipe.
    Pipe(Pipe),
}

/// What a name has to lead to at restart: the contents of a private mapping come from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime: i64,
}

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
}

/// An inode in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inode {
    /// Where it is, or was before it was unlinked; empty for a pipe.
    pub path: PathBytes,
    /// What it is.
    pub kind: InodeKind,
    /// What must not have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// For a file without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlinked: Option<Unlinked>,
}

/// Where an inode was found, to be opened for reading its contents: a magic link in /proc.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// `/proc/PID/fd/N`, `/proc/PID/map_files/A-B`, `/proc/PID/cwd` …
    pub link: &'a Path,
    /// For messages: `pid 4711: fd 7`.
    pub who: &'a str,
    /// The descriptor that it is, if it is one: process and number.
    pub fd: Option<(BorrowedFd<'a>, i32)>,
}

impl Found<'_> {
    /// Opens it for reading. Its permissions may be others by now than those that the target's own descriptor was opened by, which then is the
    /// one way; reading from that moves the time of the last access.
    fn open(&self) -> std::io::Result<File> {
        let opened =
            OpenOptions::new().read(true).custom_flags(libc::O_NOATIME | libc::O_NONBLOCK).open(self.link);
        match (opened, self.fd) {
            (Err(err), Some((pidfd, fd))) if err.kind() == std::io::ErrorKind::PermissionDenied => {
                let file = File::from(task::borrow_fd(pidfd, fd)?);
                let flags = rustix::fs::fcntl_getfl(&file)?;
                let readable = !flags.contains(OFlags::PATH) && flags & OFlags::RWMODE != OFlags::WRONLY;
                if readable { Ok(file) } else { Err(err) }
            }
            (opened, _) => opened,
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Named(u64, u64, Vec<u8>),
    Nameless(u64, u64),
}

/// The inodes met so far, each once.
#[derive(Default)]
pub struct Inodes {
    all: Vec<Inode>,
    known: HashMap<Key, usize>,
    contents: Vec<(usize, Owner)>,
}

/// `PROC_SUPER_MAGIC` and others whose files are not what they were when they are opened again.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

impl Inodes {
    /// Finds or adds the inode behind a magic link. Contents of unlinked files are added to what is to be copied.
    ///
    /// # Errors
    /// *unsupported*, with the kind; *vanished*.
    pub fn add(&mut self, found: &Found<'_>, copying: &mut Copying) -> Result<usize> {
        let Found { link, who, .. } = found;
        let target = std::fs::read_link(link).context(|| format!("{who}: read {}", link.display()))?;
        let shown = PathBytes::from(target.as_path());
        crate::activity::say(|| format!("look at {who} ({shown})"));
        let meta = std::fs::metadata(link).context(|| format!("{who} ({shown}): stat"))?;
        if !shown.0.starts_with(b"/") && !shown.0.starts_with(b"pipe:[") {
            return Err(Error::unsupported(format!("{who} is {shown}")));
        }
        let kind = self.kind(&meta, &shown, found)?;
        let deleted = shown.0.strip_suffix(b" (deleted)").filter(|_| !leads_to(&target, &meta));
        let (path, key) = match (&kind, deleted) {
            (InodeKind::Pipe(_), _) => (PathBytes::default(), Key::Nameless(meta.dev(), meta.ino())),
            (_, Some(path)) => {
                (PathBytes(without_stand_in(path).to_vec()), Key::Nameless(meta.dev(), meta.ino()))
            }
            (_, None) => (shown.clone(), Key::Named(meta.dev(), meta.ino(), shown.0.clone())),
        };
        if let Some(index) = self.known.get(&key) {
            return Ok(*index);
        }
        if deleted.is_some() && meta.nlink() > 0 && !meta.is_dir() {
            return Err(Error::unsupported(format!(
                "{who} ({path}): its name was removed, but the file has {} other name(s) that nothing tells",
                meta.nlink()
            )));
        }
        if deleted.is_none() && !matches!(kind, InodeKind::Pipe(_)) && !leads_to(&target, &meta) {
            return Err(Error::unsupported(format!("{who} ({path}): the path leads to another file here")));
        }
        let index = self.all.len();
        let unlinked = match deleted {
            Some(_) => Some(self.capture_unlinked(index, &meta, &kind, found, copying)?),
            None => None,
        };
        self.all.push(Inode { path, kind, identity: None, unlinked });
        self.known.insert(key, index);
        Ok(index)
    }

    fn kind(&self, meta: &Metadata, shown: &PathBytes, found: &Found<'_>) -> Result<InodeKind> {
        let who = found.who;
        let kind = meta.file_type();
        let refuse = |what: &str| Err(Error::unsupported(format!("{who} is {what} ({shown})")));
        if kind.is_file() || kind.is_dir() {
            let fs = rustix::fs::statfs(found.link).context(|| format!("{who} ({shown}): statfs"))?;
            if fs.f_type == PROC_SUPER_MAGIC {
                // Opened, read and closed by most, the C library among them.
                return Err(Error::unsupported_now(format!("{who} is a file of /proc ({shown})")));
            }
            if shown.0.starts_with(b"/memfd:") {
                return refuse("a memfd");
            }
            return Ok(if kind.is_dir() { InodeKind::Directory } else { InodeKind::Regular });
        }
        if kind.is_fifo() {
            let pipe = Pipe::default();
            return Ok(if shown.0.starts_with(b"/") { InodeKind::Fifo(pipe) } else { InodeKind::Pipe(pipe) });
        }
        if kind.is_char_device() {
            let rdev = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
            // Documentation/admin-guide/devices.txt: 1 is memory devices; these five have no state.
            return match rdev {
                (1, 3 | 5 | 7 | 8 | 9) => Ok(InodeKind::Device { rdev }),
                (4 | 5 | 136..=143, _) => refuse("a terminal"),
                _ => refuse("a character device"),
            };
        }
        if kind.is_symlink() {
            return Ok(InodeKind::Symlink);
        }
        refuse(if kind.is_socket() { "a socket" } else { "a block device or something unknown" })
    }

    fn capture_unlinked(
        &mut self,
        index: usize,
        meta: &Metadata,
        kind: &InodeKind,
        found: &Found<'_>,
        copying: &mut Copying,
    ) -> Result<Unlinked> {
        if *kind == InodeKind::Regular {
            let file = found.open().context(|| format!("{}: open unlinked file", found.who))?;
            let ranges =
                pages::data_ranges(&file, meta.len()).context(|| format!("{}: find holes", found.who))?;
            let owner = copying.owner();
            let source = copying.source(Source::File(file));
            // A page of zeros is data where a hole is none: kept, so that what was sparse stays just as sparse.
            copying.add(owner, source, ranges, true);
            self.contents.push((index, owner));
        }
        let nanos = |s: i64, ns: i64| s * 1_000_000_000 + ns;
        Ok(Unlinked {
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            times: (nanos(meta.atime(), meta.atime_nsec()), nanos(meta.mtime(), meta.mtime_nsec())),
            size: if meta.is_file() { meta.len() } else { 0 },
            content: Vec::new(),
        })
    }

    /// Notes that the inode's contents are needed as they are now.
    ///
    /// # Errors
    /// *vanished*
    pub fn require_identity(&mut self, index: usize, link: &Path) -> Result<()> {
        let inode = &mut self.all[index];
        if inode.unlinked.is_none() && inode.identity.is_none() {
            let meta = std::fs::metadata(link).context(|| format!("stat {}", inode.path))?;
            inode.identity = Some(identity(&meta));
        }
        Ok(())
    }

    /// The inode.
    pub fn get_mut(&mut self, index: usize) -> &mut Inode {
        &mut self.all[index]
    }

    /// The inode.
    pub fn get(&self, index: usize) -> &Inode {
        &self.all[index]
    }

    /// The table for the records, with the contents that were copied, `extents` by owner.
    pub fn finish(mut self, extents: &mut dyn FnMut(Owner) -> Vec<Extent>) -> Vec<Inode> {
        for (index, owner) in self.contents {
            if let Some(unlinked) = &mut self.all[index].unlinked {
                unlinked.content = extents(owner);
            }
        }
        self.all
    }
}

/// Between a name that is taken and the number that makes it a stand-in.
const STAND_IN: &str = ".cairn-";

/// The `n`th name beside `name`, for an unlinked file whose own name is taken by another one when it is made again.
pub fn stand_in(name: &Path, n: u32) -> PathBuf {
    let mut name = name.as_os_str().to_os_string();
    name.push(format!("{STAND_IN}{n}"));
    name.into()
}

/// The name that a stand-in stands for, so that names do not grow from one restart to the next; any other name as it is.
fn without_stand_in(name: &[u8]) -> &[u8] {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match name[..name.len() - digits].strip_suffix(STAND_IN.as_bytes()) {
        Some(own) if digits > 0 && !own.is_empty() => own,
        _ => name,
    }
}

fn leads_to(path: &Path, meta: &Metadata) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == (meta.dev(), meta.ino()))
}

/// Size and modification time.
pub fn identity(meta: &Metadata) -> Identity {
    Identity { size: meta.len(), mtime: meta.mtime() * 1_000_000_000 + meta.mtime_nsec() }
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
