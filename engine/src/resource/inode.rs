//! What open files and mappings are *of*: named files, files without a name, directories, devices, pipes and FIFOs.

use super::attributes::{self, Attribute};
use super::bytes::PathBytes;
use super::identity::Identity;
use super::pages::{self, Copying, Extent, Owner, Source};
use super::pipe::Pipe;
use crate::error::{Context, Error, Problem, Result};
use crate::sys::task;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
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

/// An inode in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inode {
    /// Where it is, or was before it was unlinked; empty for a pipe.
    pub path: PathBytes,
    /// What it is.
    pub kind: InodeKind,
    /// Of a regular file with a name: what tells whether it has changed.
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
    /// Who was found to use each first, for messages.
    users: Vec<String>,
    /// What the link says that led to each.
    links: Vec<Vec<u8>>,
    known: HashMap<Key, usize>,
    contents: Vec<(usize, Owner)>,
}

/// File systems (include/uapi/linux/magic.h) whose files are not what they were when they are opened again.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;
/// POSIX message queues (ipc/mqueue.c).
const MQUEUE_MAGIC: i64 = 0x1980_0202;
/// memfd_secret(2), mm/secretmem.c.
const SECRETMEM_MAGIC: i64 = 0x5345_434d;
const NFS_SUPER_MAGIC: i64 = 0x6969;
const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;
const CIFS_SUPER_MAGIC: i64 = 0xff53_4d42;
const SMB2_SUPER_MAGIC: i64 = 0xfe53_4d42;
/// Files that the kernel makes up when they are read: size and times say nothing. sysfs, cgroup and cgroup2, debugfs, tracefs, securityfs,
/// configfs, pstore, bpf, selinuxfs, efivarfs, resctrl.
const MADE_UP: &[i64] = &[
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6265_6570,
    0x6165_676c,
    0xcafe_4a11,
    0xf97c_ff8c,
    0xde5e_81e4,
    0x0765_5821,
];

/// What its user can do about a kind of file.
const NOT_YET: &str = "which cannot be saved yet; it can be checkpointed once that is closed";

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
            let what = without_a_path(&shown.0);
            return Err(Error::unsupported(Problem::of(
                format!("{who} ({shown})"),
                format!(" is {what}, {NOT_YET}"),
            )));
        }
        let stored = meta.is_file() || meta.is_dir();
        let fs = if stored { file_system(link, who, &shown)? } else { 0 };
        let kind = kind(&meta, fs, &shown, who)?;
        let hidden = kind == InodeKind::Regular && is_kept_by_client(&target, fs);
        let deleted = match shown.0.strip_suffix(b" (deleted)").filter(|_| !leads_to(&target, &meta)) {
            None if hidden => Some(&shown.0[..]),
            deleted => deleted,
        };
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
        if let Some(why) = deleted.and_then(|_| not_to_be_made(&kind)) {
            return Err(Error::unsupported(Problem::of(
                format!("{who} ({path})"),
                format!(" is {why}; let it be closed first"),
            )));
        }
        // The name that the client keeps is one.
        let hidden =
            hidden || deleted.is_some_and(|path| fs == FUSE_SUPER_MAGIC && is_hidden_beside(path, &meta));
        let other_names = meta.nlink().saturating_sub(hidden.into());
        if deleted.is_some() && other_names > 0 && !meta.is_dir() {
            return Err(Error::unsupported(Problem::of(
                format!("{who} ({path})"),
                format!(
                    ": its name was removed, but the file has {other_names} other name(s) that nothing tells; let it be closed first"
                ),
            )));
        }
        if deleted.is_none() && !matches!(kind, InodeKind::Pipe(_)) && !leads_to(&target, &meta) {
            return Err(Error::unsupported(Problem::of(
                format!("{who} ({path})"),
                ": the path leads to another file here (another mount is over it, or it was replaced just now); let it be closed first",
            )));
        }
        let index = self.all.len();
        let unlinked = match deleted {
            Some(_) => Some(self.capture_unlinked(index, &meta, &kind, found, copying)?),
            None => None,
        };
        let tells = kind == InodeKind::Regular && deleted.is_none() && !MADE_UP.contains(&fs);
        let identity = tells.then(|| Identity::of(&meta));
        self.all.push(Inode { path, kind, identity, unlinked });
        self.users.push((*who).to_owned());
        self.links.push(shown.0);
        self.known.insert(key, index);
        Ok(index)
    }

    fn capture_unlinked(
        &mut self,
        index: usize,
        meta: &Metadata,
        kind: &InodeKind,
        found: &Found<'_>,
        copying: &mut Copying,
    ) -> Result<Unlinked> {
        let who = found.who;
        let mut flags = 0;
        if matches!(kind, InodeKind::Regular | InodeKind::Directory) {
            let file = found.open().context(|| format!("{who}: open what was unlinked"))?;
            flags = attributes::flags(&file).context(|| format!("{who}: read inode flags"))?;
            if *kind == InodeKind::Regular {
                let ranges =
                    pages::data_ranges(&file, meta.len()).context(|| format!("{who}: find holes"))?;
                let owner = copying.owner();
                let source = copying.source(Source::File(file));
                // A page of zeros is data where a hole is none: kept, so that what was sparse stays just as sparse.
                copying.add(owner, source, ranges, true);
                self.contents.push((index, owner));
            }
        }
        let xattrs =
            attributes::capture(found.link).context(|| format!("{who}: read extended attributes"))?;
        let nanos = |s: i64, ns: i64| s * 1_000_000_000 + ns;
        Ok(Unlinked {
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            times: (nanos(meta.atime(), meta.atime_nsec()), nanos(meta.mtime(), meta.mtime_nsec())),
            size: if meta.is_file() { meta.len() } else { 0 },
            content: Vec::new(),
            xattrs,
            flags,
        })
    }

    /// The inode.
    pub fn get_mut(&mut self, index: usize) -> &mut Inode {
        &mut self.all[index]
    }

    /// Device number and inode number of each named regular file, with who was found to use it, and its path.
    pub fn identities(&self) -> impl Iterator<Item = ((u64, u64), (&str, &PathBytes))> {
        self.all.iter().zip(&self.users).filter_map(|(inode, user)| {
            let node = inode.identity.as_ref()?.node?;
            let device = rustix::fs::makedev(node.device.0, node.device.1);
            Some(((device, node.inode), (user.as_str(), &inode.path)))
        })
    }

    /// What readlink(2) says of a descriptor that leads to it.
    pub fn link(&self, index: usize) -> &[u8] {
        &self.links[index]
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

/// What a magic link means that is no path: `socket:[12]`, `anon_inode:[eventpoll]` (anon_inode_getfile in the kernel's sources).
fn without_a_path(shown: &[u8]) -> &'static str {
    const KINDS: &[(&[u8], &str)] = &[
        (b"socket:", "a socket"),
        (b"anon_inode:[eventpoll]", "an epoll instance"),
        (b"anon_inode:[eventfd", "an eventfd"),
        (b"anon_inode:[timerfd]", "a timerfd"),
        (b"anon_inode:[signalfd]", "a signalfd"),
        (b"anon_inode:inotify", "an inotify instance"),
        (b"anon_inode:[fanotify]", "a fanotify group"),
        (b"anon_inode:[io_uring]", "an io_uring"),
        (b"anon_inode:[userfaultfd]", "a userfaultfd"),
        (b"anon_inode:[perf_event]", "a performance event"),
        (b"anon_inode:[pidfd]", "a pidfd"),
        (b"pidfd:", "a pidfd"),
        (b"anon_inode:bpf", "a BPF object"),
        (b"anon_inode:kvm", "a virtual machine"),
    ];
    let known = KINDS.iter().find(|(prefix, _)| shown.starts_with(prefix));
    known.map_or("a file without a path", |(_, what)| what)
}

fn file_system(link: &Path, who: &str, shown: &PathBytes) -> Result<i64> {
    let fs = rustix::fs::statfs(link).context(|| format!("{who} ({shown}): statfs"))?;
    Ok(fs.f_type)
}

fn kind(meta: &Metadata, fs: i64, shown: &PathBytes, who: &str) -> Result<InodeKind> {
    let kind = meta.file_type();
    let at = || format!("{who} ({shown})");
    let refuse = |what: &str| Err(Error::unsupported(Problem::of(at(), format!(" is {what}"))));
    let refuse_kind = |what: &str| refuse(&format!("{what}, {NOT_YET}"));
    if kind.is_file() || kind.is_dir() {
        return match fs {
            // Opened, read and closed by most, the C library among them.
            PROC_SUPER_MAGIC => {
                Err(Error::unsupported_now(Problem::of(at(), " is a file of /proc; close it first")))
            }
            MQUEUE_MAGIC => refuse_kind("a POSIX message queue"),
            SECRETMEM_MAGIC => refuse_kind("secret memory (memfd_secret)"),
            _ if shown.0.starts_with(b"/memfd:") => refuse_kind("a memfd"),
            _ if kind.is_dir() => Ok(InodeKind::Directory),
            _ => Ok(InodeKind::Regular),
        };
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
            (4 | 5 | 136..=143, _) => {
                refuse("a terminal; start the job with `cairn run`, or with `</dev/null >file 2>&1`")
            }
            _ => refuse_kind("a character device"),
        };
    }
    if kind.is_symlink() {
        return Ok(InodeKind::Symlink);
    }
    refuse_kind(if kind.is_socket() { "a socket" } else { "a block device or something unknown" })
}

/// Why something of this kind cannot be made again without a name.
fn not_to_be_made(kind: &InodeKind) -> Option<&'static str> {
    match kind {
        InodeKind::Device { .. } => Some("a device node whose name was removed"),
        InodeKind::Symlink => Some("a symbolic link whose name was removed"),
        InodeKind::Regular | InodeKind::Directory | InodeKind::Fifo(_) | InodeKind::Pipe(_) => None,
    }
}

/// Whether the file has been removed, and the client of a file system that cannot keep a file without a name has given it one until the
/// last user is gone: `nfs_sillyrename` of fs/nfs/unlink.c, `hide_node` of libfuse.
fn is_kept_by_client(path: &Path, fs: i64) -> bool {
    let Some(name) = path.file_name().map(OsStrExt::as_bytes) else { return false };
    let (prefix, digits) = match fs {
        // The number of the file in 16 digits, and a counter in 8.
        NFS_SUPER_MAGIC => (&b".nfs"[..], 24..=24),
        // The number of the node and a counter in at least 8 each.
        FUSE_SUPER_MAGIC => (&b".fuse_hidden"[..], 16..=32),
        _ => return false,
    };
    let Some(rest) = name.strip_prefix(prefix) else { return false };
    digits.contains(&rest.len()) && rest.iter().all(u8::is_ascii_hexdigit)
}

/// Whether a file system of this kind has a client that renames what is open instead of removing it.
pub fn has_client(fs: i64) -> bool {
    matches!(fs, NFS_SUPER_MAGIC | FUSE_SUPER_MAGIC | CIFS_SUPER_MAGIC | SMB2_SUPER_MAGIC)
}

/// Whether a file that /proc shows as deleted has in truth the name that libfuse gave it: the kernel does not know of that one.
fn is_hidden_beside(path: &[u8], meta: &Metadata) -> bool {
    let Some(directory) = Path::new(OsStr::from_bytes(path)).parent() else { return false };
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    entries
        .flatten()
        .map(|entry| entry.path())
        .any(|beside| is_kept_by_client(&beside, FUSE_SUPER_MAGIC) && leads_to(&beside, meta))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case(".nfs0000000000abcdef0000001f", NFS_SUPER_MAGIC, true)]
    #[case(".nfs0000000000abcdef0000001f", FUSE_SUPER_MAGIC, false)]
    #[case(".nfs0000000000abcdef0000001f", 0xef53, false)]
    #[case(".nfs0000000000abcdef0000001", NFS_SUPER_MAGIC, false)]
    #[case(".nfs0000000000abcdef0000001g", NFS_SUPER_MAGIC, false)]
    #[case(".fuse_hidden0000000300000001", FUSE_SUPER_MAGIC, true)]
    #[case(".fuse_hidden0000000300000001", NFS_SUPER_MAGIC, false)]
    #[case(".fuse_hidden", FUSE_SUPER_MAGIC, false)]
    #[case("log", NFS_SUPER_MAGIC, false)]
    fn names_that_a_client_keeps(#[case] name: &str, #[case] fs: i64, #[case] kept: bool) {
        assert_eq!(is_kept_by_client(&Path::new("/srv/job").join(name), fs), kept);
    }

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
