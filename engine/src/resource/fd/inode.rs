//! Inodes that descriptions and mappings are open on: with a path, without one, or unlinked.

use super::job::Job;
use super::other_name;
use super::socket::Created;
use super::unlinked::{Unlinked, Unnamed, without_stand_in};
use super::{Identity as Same, Kind};
use crate::error::{Context, Error, Problem, Result, Subject};
use crate::image::Extent;
use crate::proc::notify;
use crate::resource::attributes;
use crate::resource::bytes::PathBytes;
use crate::resource::identity::Identity;
use crate::resource::mm::dump::{self, DataSource, DumpPlan, Owner};
use crate::sys::file::{FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, device_numbers};
use crate::sys::task::{self, Seen};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// An inode in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inode {
    /// Its path, or its last path if unlinked; empty if it never had one.
    pub path: PathBytes,
    /// Its kind and state.
    pub kind: Kind,
    /// How to tell whether it has changed; `None` unless it is a regular file with a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What to recreate if it is unlinked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlinked: Option<Unlinked>,
}

/// Where an inode was found: a magic link in /proc.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// `/proc/PID/fd/N`, `/proc/PID/map_files/A-B`, `/proc/PID/cwd` …
    pub link: &'a Path,
    /// For messages: `pid 4711: fd 7`.
    pub who: &'a Subject,
    /// Pidfd and descriptor number, if it is a descriptor.
    pub fd: Option<(BorrowedFd<'a>, i32)>,
    /// What else is known of the job, if it is a descriptor.
    pub job: Option<&'a Job>,
}

/// What the kernel reports of an inode that was found.
#[derive(Debug)]
pub struct Observed<'a> {
    found: &'a Found<'a>,
    /// Target of the magic link: a path, or `pipe:[12]`, `anon_inode:[eventfd]` …
    pub link: PathBytes,
    /// stat(2)
    pub meta: Metadata,
    /// Magic number of the file system for files and directories, otherwise 0.
    pub file_system: i64,
    /// What it was created with, once asked for, if it is a socket.
    socket: OnceCell<Option<Created>>,
}

impl Observed<'_> {
    /// For messages: `pid 4711: fd 7 (/tmp/log)`.
    pub fn at(&self) -> Subject {
        self.found.who.leading_to(&self.link)
    }

    /// Duplicates the descriptor, unless it is a handle (`O_PATH`) or none: then it is opened for
    /// reading.
    pub(super) fn borrow(&self) -> std::io::Result<File> {
        if let Some((pidfd, fd)) = self.found.fd {
            let file = File::from(task::borrow_fd(pidfd, fd)?);
            if !rustix::fs::fcntl_getfl(&file)?.contains(OFlags::PATH) {
                return Ok(file);
            }
        }
        self.found.open()
    }

    /// Opens it once more, for reading.
    pub(super) fn reopen(&self) -> std::io::Result<File> {
        self.found.open()
    }

    /// What it was created with, if it is the descriptor of a socket and no handle (`O_PATH`).
    pub(super) fn socket(&self) -> Option<Result<Created>> {
        if !self.link.0.starts_with(b"socket:[") {
            return None;
        }
        if let Some(known) = self.socket.get() {
            return known.map(Ok);
        }
        let created = self.borrow().and_then(|fd| match Created::of(&fd) {
            Err(err) if err.raw_os_error() == Some(libc::EBADF) => Ok(None),
            created => created.map(Some),
        });
        match created.context(|| format!("{}: ask what kind of socket", self.at())) {
            Ok(created) => self.socket.get_or_init(|| created).map(Ok),
            Err(err) => Some(Err(err)),
        }
    }

    /// The same, if `is_it`; for *recognise*.
    pub(super) fn socket_that(&self, is_it: impl FnOnce(Created) -> bool) -> Option<Result<Created>> {
        match self.socket()? {
            Ok(created) => is_it(created).then_some(Ok(created)),
            Err(err) => Some(Err(err)),
        }
    }

    /// What is known of the job, if it is a descriptor.
    pub(super) fn job(&self) -> Option<&Job> {
        self.found.job
    }

    /// Whether the user leaves it outside.
    pub fn is_external(&self) -> bool {
        self.job().is_some_and(|job| job.external.contains(&self.link))
    }

    /// Whether the link is a path, possibly of an unlinked file.
    pub fn has_path(&self) -> bool {
        self.link.0.starts_with(b"/")
    }
}

impl Inode {
    /// Its path, or without one its title in the plan: for messages about the `index`th inode.
    pub fn label(&self, index: usize) -> PathBuf {
        let path = self.path.as_path();
        if path.as_os_str().is_empty() { self.kind.verbs().title(index).into() } else { path.into() }
    }
}

impl Found<'_> {
    /// Reads link, stat(2) and file system type.
    ///
    /// # Errors
    /// *vanished*, or what the kernel reports.
    pub fn look(&self) -> Result<Observed<'_>> {
        let Found { link: magic, who, .. } = self;
        let target = std::fs::read_link(magic).context(|| format!("{who}: read {}", magic.display()))?;
        let link = PathBytes::from(target.as_path());
        crate::activity::say(|| format!("inspect {who} ({link})"));
        let meta = match std::fs::metadata(magic) {
            // Neither the target nor its descriptor is: what it leads to is.
            Err(err) if err.kind() == std::io::ErrorKind::NotFound && magic.symlink_metadata().is_ok() => {
                let why = " is gone from its file system; close it first";
                return Err(Error::unsupported_now(Problem::of(who.leading_to(&link), why)));
            }
            meta => meta.context(|| format!("{who} ({link}): stat"))?,
        };
        let file_system = if meta.is_file() || meta.is_dir() {
            rustix::fs::statfs(*magic).context(|| format!("{who} ({link}): statfs"))?.f_type
        } else {
            0
        };
        Ok(Observed { found: self, link, meta, file_system, socket: OnceCell::new() })
    }

    /// Opens it for reading. If its permissions have changed since the target opened it, the
    /// target's descriptor is duplicated instead; reading from that updates the access time.
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

/// The inodes found so far, each once.
#[derive(Default)]
pub struct Inodes {
    all: Vec<Inode>,
    /// Where each was found first, for messages.
    users: Vec<Subject>,
    known: HashMap<Key, usize>,
    /// What was found for files under names that were removed.
    other_names: HashMap<Key, Option<PathBytes>>,
    /// The processes that are inspected.
    processes: Vec<Seen>,
    /// What they watch for being read; looked for only where something has to be read.
    watched: OnceCell<HashSet<((u32, u32), u64)>>,
    contents: Vec<(usize, Owner)>,
}

/// File systems whose files are generated when they are read: size and times mean nothing. sysfs,
/// cgroup and cgroup2, debugfs, tracefs, securityfs, configfs, pstore, bpf, selinuxfs, efivarfs,
/// resctrl.
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

impl Inodes {
    /// No inodes yet, of these processes.
    pub fn of(processes: Vec<Seen>) -> Self {
        Inodes { processes, ..Inodes::default() }
    }

    /// Refuses to read a file that a process of the job watches for that, itself or its directory:
    /// it would get an event.
    ///
    /// # Errors
    /// *unsupported*
    pub fn refuse_watched(&self, at: Subject, link: &PathBytes, meta: &Metadata) -> Result<()> {
        let watched = self.watched.get_or_init(|| {
            self.processes.iter().flat_map(|process| notify::watched_for_reading(process.by)).collect()
        });
        if watched.is_empty() {
            return Ok(());
        }
        let node = |meta: &Metadata| (device_numbers(meta.dev()), meta.ino());
        let directory = link.as_path().parent().and_then(|up| std::fs::metadata(up).ok());
        if watched.contains(&node(meta)) || directory.is_some_and(|up| watched.contains(&node(&up))) {
            let why = " has contents to be saved, and the job watches it or its directory for being read (inotify, fanotify): a checkpoint would be an event; remove the watch first";
            return Err(Error::unsupported(Problem::of(at, why)));
        }
        Ok(())
    }

    /// Finds or adds the inode behind a magic link. Contents of unlinked files are added to the
    /// dump plan.
    ///
    /// # Errors
    /// *unsupported*, with the kind; *vanished*.
    pub fn add(&mut self, found: &Found<'_>, dump_plan: &mut DumpPlan) -> Result<usize> {
        let seen = found.look()?;
        let kind = Kind::of(&seen)?;
        self.add_seen(&seen, kind, dump_plan)
    }

    /// As [`Inodes::add`], for one that was examined and recognised.
    ///
    /// # Errors
    /// As [`Inodes::add`].
    pub fn add_seen(&mut self, seen: &Observed<'_>, kind: Kind, dump_plan: &mut DumpPlan) -> Result<usize> {
        let Observed { found, link, meta, file_system, .. } = seen;
        let target = link.as_path();
        let hidden = kind == Kind::Regular && is_kept_by_client(target, *file_system);
        let deleted = match link.0.strip_suffix(b" (deleted)").filter(|_| !leads_to(target, meta)) {
            None if hidden => Some(&link.0[..]),
            deleted => deleted,
        };
        let number = (meta.dev(), meta.ino());
        // One link is the name that the client keeps.
        let kept = |gone: &[u8]| hidden || *file_system == FUSE_SUPER_MAGIC && is_hidden_beside(gone, meta);
        let other_names = deleted.map_or(0, |gone| meta.nlink().saturating_sub(kept(gone).into()));
        let has_others = other_names > 0 && !meta.is_dir() && kind.verbs().identity() == Same::Path;
        // Each mapping of it asks again.
        let other = deleted.filter(|_| has_others).and_then(|gone| {
            let known = self.other_names.entry(Key::Named(number.0, number.1, gone.to_vec()));
            known.or_insert_with(|| other_name::find(gone, meta)).clone()
        });
        let (link, deleted) = match &other {
            Some(name) => (name, None),
            None => (link, deleted),
        };
        let (path, key) = match (kind.verbs().identity(), deleted) {
            (Same::Path, None) => (link.clone(), Key::Named(number.0, number.1, link.0.clone())),
            (Same::Path, Some(path)) => {
                (PathBytes(without_stand_in(path).to_vec()), Key::Nameless(number.0, number.1))
            }
            (Same::Inode | Same::Description, _) => (PathBytes::default(), Key::Nameless(number.0, number.1)),
        };
        if let Some(index) = self.known.get(&key) {
            return Ok(*index);
        }
        if matches!(kind, Kind::Fifo(_)) {
            self.refuse_watched(seen.at(), link, meta)?;
        }
        let refuse = |why: String| Err(Error::unsupported(Problem::of(found.who.leading_to(&path), why)));
        let has_path = kind.verbs().identity() == Same::Path;
        let deleted = deleted.filter(|_| has_path);
        let mut unlinked = None;
        if deleted.is_some() {
            let how = match kind.verbs().unlinked() {
                Err(what) => return refuse(format!(" is {what}; close it first")),
                Ok(how) => how,
            };
            if has_others {
                return refuse(format!(
                    ": it was unlinked, but the file has {other_names} other name(s), none of them in its directory or in one next to that; close it first, or link it to its old name"
                ));
            }
            unlinked = Some(self.capture_unlinked(self.all.len(), how, seen, dump_plan)?);
        } else if kind.verbs().holds_content() {
            unlinked = Some(self.capture_unlinked(self.all.len(), Unnamed::Regular, seen, dump_plan)?);
        } else if has_path && !leads_to(link.as_path(), meta) {
            return refuse(
                ": the path leads to another file (hidden by a mount, or just replaced); close it first"
                    .into(),
            );
        }
        let tells = kind == Kind::Regular && deleted.is_none() && !MADE_UP.contains(file_system);
        let identity = tells.then(|| Identity::of(meta));
        let index = self.push(Inode { path, kind, identity, unlinked }, found.who);
        self.known.insert(key, index);
        Ok(index)
    }

    /// Adds an object that is created together with its open file description.
    pub fn add_anonymous(&mut self, kind: Kind, who: &Subject) -> usize {
        self.push(Inode { path: PathBytes::default(), kind, identity: None, unlinked: None }, who)
    }

    fn push(&mut self, inode: Inode, who: &Subject) -> usize {
        self.all.push(inode);
        self.users.push(who.clone());
        self.all.len() - 1
    }

    fn capture_unlinked(
        &mut self,
        index: usize,
        how: Unnamed,
        seen: &Observed<'_>,
        dump_plan: &mut DumpPlan,
    ) -> Result<Unlinked> {
        let Observed { found, link, meta, .. } = seen;
        let who = found.who;
        self.refuse_watched(seen.at(), link, meta)?;
        let mut flags = 0;
        if matches!(how, Unnamed::Regular | Unnamed::Directory) {
            let file = found.open().context(|| format!("{who}: open the unlinked file"))?;
            flags = attributes::flags(&file).context(|| format!("{who}: read inode flags"))?;
            if how == Unnamed::Regular {
                let ranges = dump::data_ranges(&file, meta.len()).context(|| format!("{who}: find holes"))?;
                let owner = dump_plan.owner();
                let source = dump_plan.source(DataSource::File(file));
                // A page of zeros is data, a hole is not: kept, so that a sparse file stays exactly
                // as sparse.
                dump_plan.add(owner, source, ranges, true);
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

    /// The kinds of all inodes.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.all.iter().map(|inode| &inode.kind)
    }

    /// The kind of each inode, with where it was found.
    pub fn kinds_with_users(&mut self) -> impl Iterator<Item = (&mut Kind, &Subject)> {
        self.all.iter_mut().map(|inode| &mut inode.kind).zip(&self.users)
    }

    /// The kind of an inode.
    pub fn kind(&self, index: usize) -> &Kind {
        &self.all[index].kind
    }

    /// Whether an inode has no name: what a job alone has.
    pub fn is_unlinked(&self, index: usize) -> bool {
        self.all[index].unlinked.is_some()
    }

    /// Where an inode was found first.
    pub fn user(&self, index: usize) -> &Subject {
        &self.users[index]
    }

    /// The kind of an inode, to fill in its state.
    pub fn kind_mut(&mut self, index: usize) -> &mut Kind {
        &mut self.all[index].kind
    }

    /// Device and inode number of each regular file, with its index, and where it was found.
    pub fn nodes(&self) -> impl Iterator<Item = ((u64, u64), (usize, &Subject))> {
        self.known.iter().filter_map(|(key, index)| {
            let (Key::Named(dev, ino, _) | Key::Nameless(dev, ino)) = key;
            let inode = &self.all[*index];
            let is_file = inode.identity.is_some() || inode.unlinked.is_some();
            is_file.then(|| ((*dev, *ino), (*index, &self.users[*index])))
        })
    }

    /// Device and inode number of each inode without a name, and its index.
    pub fn unlinked(&self) -> impl Iterator<Item = ((u64, u64), usize)> {
        self.known.iter().filter_map(|(key, index)| match key {
            Key::Nameless(dev, ino) if self.is_unlinked(*index) => Some(((*dev, *ino), *index)),
            _ => None,
        })
    }

    /// Where the inode with this device and inode number was found, and its path.
    pub fn user_of(&self, (device, number): (u64, u64)) -> Option<(&Subject, &PathBytes)> {
        let is_it = |key: &Key| match key {
            Key::Named(dev, ino, _) | Key::Nameless(dev, ino) => (*dev, *ino) == (device, number),
        };
        let (_, index) = self.known.iter().find(|(key, _)| is_it(key))?;
        Some((&self.users[*index], &self.all[*index].path))
    }

    /// The table for the records, with the copied contents; `extents` returns those of an owner.
    pub fn finish(mut self, extents: &mut dyn FnMut(Owner) -> Vec<Extent>) -> Vec<Inode> {
        for (index, owner) in self.contents {
            if let Some(unlinked) = &mut self.all[index].unlinked {
                unlinked.content = extents(owner);
            }
        }
        self.all
    }
}

/// Whether the file was unlinked, and the client of a file system without unlinked files has
/// renamed it until its last user closes it: `nfs_sillyrename` in fs/nfs/unlink.c, `hide_node` in
/// libfuse.
fn is_kept_by_client(path: &Path, fs: i64) -> bool {
    let Some(name) = path.file_name().map(OsStrExt::as_bytes) else { return false };
    let (prefix, digits) = match fs {
        // The file id in 16 digits and a counter in 8.
        NFS_SUPER_MAGIC => (&b".nfs"[..], 24..=24),
        // The node id and a counter, at least 8 digits each.
        FUSE_SUPER_MAGIC => (&b".fuse_hidden"[..], 16..=32),
        _ => return false,
    };
    let Some(rest) = name.strip_prefix(prefix) else { return false };
    digits.contains(&rest.len()) && rest.iter().all(u8::is_ascii_hexdigit)
}

/// Whether a file shown as deleted in /proc still has the name that libfuse gave it, which the
/// kernel does not know.
fn is_hidden_beside(path: &[u8], meta: &Metadata) -> bool {
    let Some(directory) = Path::new(OsStr::from_bytes(path)).parent() else { return false };
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    entries
        .flatten()
        .map(|entry| entry.path())
        .any(|beside| is_kept_by_client(&beside, FUSE_SUPER_MAGIC) && leads_to(&beside, meta))
}

fn leads_to(path: &Path, meta: &Metadata) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
