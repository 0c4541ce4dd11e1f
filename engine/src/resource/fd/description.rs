//! Open file descriptions, which dup(2) and fork(2) share.

use super::inode::{Found, Inodes};
use super::job::{Established, Job};
use super::lock::{self, FileLock, SavedLocks};
use super::socket::lock::Lock;
use super::socket::network::Network;
use super::table::{self, Fd};
use super::{Identity, Kind, Reference};
use crate::error::{Context, Error, External, Problem, Problems, Result, Subject};
use crate::proc::fdinfo::FdInfo;
use crate::resource::bytes::PathBytes;
use crate::resource::mm::dump::DumpPlan;
use crate::sys::file::link_to;
use crate::sys::kcmp::{self, EpollTarget, Member, Sorted};
use crate::sys::task::{self, PIDFD_THREAD, Seen};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The owner that receives signals for I/O (F_SETOWN_EX, F_SETSIG).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOwner {
    /// `F_OWNER_*`
    pub kind: i32,
    /// Id of the thread, process or process group.
    pub id: i32,
    /// Signal number, 0 for SIGIO.
    pub signal: i32,
}

/// An open file description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// Index of the inode.
    pub inode: usize,
    /// `O_*`, without flags that only affect open(2).
    pub flags: i32,
    /// File offset in bytes.
    pub offset: u64,
    /// Owner for asynchronous I/O; `None` if not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<FileOwner>,
    /// File locks held through it, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<FileLock>,
}

impl OpenFile {
    /// Whether it was opened with `O_PATH`: it has neither offset nor state.
    pub fn is_path(&self) -> bool {
        self.flags & libc::O_PATH != 0
    }

    /// Whether it is open for writing.
    pub fn writes(&self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_RDONLY
    }

    /// Whether it holds a lease.
    pub fn has_lease(&self) -> bool {
        self.locks.iter().any(FileLock::is_lease)
    }

    /// Whether it holds a lease that every other open(2) of the file breaks.
    pub fn has_write_lease(&self) -> bool {
        self.locks.iter().any(|lock| lock.is_lease() && lock.exclusive)
    }
}

/// An O_APPEND writer never uses the file offset: two such descriptions are equivalent to one.
pub fn only_appends(flags: i32) -> bool {
    flags & libc::O_APPEND != 0 && flags & libc::O_ACCMODE == libc::O_WRONLY
}

/// `__O_TMPFILE`, include/uapi/asm-generic/fcntl.h; `O_TMPFILE` includes `O_DIRECTORY`. A property
/// of its creation, not of the open file.
const O_TMPFILE_BIT: i32 = 0o20_000_000;

/// A descriptor of a stopped process, through which the state of its open file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The process.
    pub process: Seen,
    /// Descriptor number.
    pub fd: i32,
    /// `O_*` of the description.
    pub flags: i32,
}

impl Descriptor {
    /// The descriptor of an object with [`Identity::Description`].
    ///
    /// # Panics
    /// If there is not exactly one: two would be two objects, and `O_PATH` is refused.
    pub fn only(descriptors: &[Descriptor]) -> &Descriptor {
        let [descriptor] = descriptors else { unreachable!("one object, one description") };
        descriptor
    }

    /// For messages: `pid 4711: fd 7`.
    pub fn at(&self) -> Subject {
        Subject::fd(self.process.pid, self.fd)
    }

    /// Whether it is open for writing.
    pub fn writes(&self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_RDONLY
    }

    /// Duplicates it into the engine: the same open file description (pidfd_getfd(2)).
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn duplicate(&self) -> Result<OwnedFd> {
        let what = || format!("{}: duplicate", self.at());
        let pidfd = self.process.pidfd().context(what)?;
        task::borrow_fd(pidfd.as_fd(), self.fd).context(what)
    }

    /// Its name in /proc/PID/fd, empty if that is gone.
    pub fn name(&self) -> PathBytes {
        let link = std::fs::read_link(format!("/proc/{}/fd/{}", self.process.by, self.fd));
        PathBytes::from(link.unwrap_or_default().as_path())
    }

    /// The number of its inode.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn inode(&self) -> Result<u64> {
        let link = format!("/proc/{}/fd/{}", self.process.by, self.fd);
        std::fs::metadata(&link).map(|meta| meta.ino()).context(|| format!("{}: stat", self.at()))
    }

    /// Its /proc/PID/fdinfo.
    ///
    /// # Errors
    /// *unsupported* for an unknown format; what the kernel reports.
    pub fn info(&self) -> Result<FdInfo> {
        FdInfo::read(self.process.by, self.fd)
    }
}

/// Candidates for being the same open file description: open on the same inode or, without one,
/// with the same name in /proc.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Among {
    Inode(usize),
    Anonymous(Vec<u8>),
}

/// The open file descriptions of a candidate set.
struct Candidates {
    /// Number of their inode.
    ino: u64,
    /// By index.
    sorted: Sorted<usize>,
}

impl Candidates {
    fn new(ino: u64) -> Self {
        Candidates { ino, sorted: Sorted::new(kcmp::Kind::File) }
    }
}

/// The open file descriptions found so far, each once.
#[derive(Default)]
pub struct Files {
    all: Vec<OpenFile>,
    /// Sorted by kcmp(2) on a descriptor in some table. Flags and offset do not identify a
    /// description: a process outside that shares it may change them in the meantime.
    known: HashMap<Among, Candidates>,
    opened: HashMap<(usize, i32), usize>,
    /// Candidate sets with descriptions that must not be shared with a process outside, by their
    /// link target in /proc.
    shared: HashMap<Vec<u8>, Vec<Among>>,
    /// Descriptions that must not be shared with a process outside.
    is_shared: HashSet<usize>,
    /// Device, inode number and a descriptor of each object that no process outside may have open,
    /// by link target in /proc.
    by_name: HashMap<Vec<u8>, ((u64, u64), Descriptor)>,
    /// Pid, descriptor and owner of each description with an owner, and whether it is a directory.
    owned: Vec<(i32, i32, FileOwner, bool)>,
    locks: SavedLocks,
    /// Processes that have the descriptor table of an earlier one, and that one.
    shared_tables: BTreeMap<i32, i32>,
    /// What decides of which kind a descriptor is, besides itself.
    job: Job,
    /// Descriptors by inode, one for each description without `O_PATH`.
    descriptors: HashMap<usize, Vec<Descriptor>>,
}

impl Files {
    /// Finds or adds the open file description behind descriptor `fd` of a process; `pidfd` is
    /// [`Seen::pidfd`].
    ///
    /// # Errors
    /// *unsupported* with pid, fd and kind.
    pub fn add_fd(
        &mut self,
        pidfd: BorrowedFd<'_>,
        process: Seen,
        fd: i32,
        inodes: &mut Inodes,
        dump_plan: &mut DumpPlan,
    ) -> Result<Fd> {
        let Seen { pid, by } = process;
        let who = Subject::fd(pid, fd);
        let link = format!("/proc/{by}/fd/{fd}");
        let found = Found { link: Path::new(&link), who: &who, fd: Some((pidfd, fd)), job: Some(&self.job) };
        let seen = found.look()?;
        let info = FdInfo::read(by, fd)?;
        let refuse_lock = |what: &str| {
            Error::unsupported(Problem::of(seen.at(), format!(" holds {what}; release it first")))
        };
        let has_table = |other: i32| self.shared_tables.get(&other) == Some(&pid);
        let locks = lock::held(&info, pid, has_table).map_err(refuse_lock)?;
        if !locks.is_empty() && seen.is_external() {
            return Err(refuse_lock("a file lock, and cannot be left outside with it"));
        }
        // Before anything opens the file, which breaks the lease.
        if locks.iter().any(|(lock, _)| lock.is_lease()) && seen.meta.nlink() == 0 {
            return Err(refuse_lock("a lease of an unlinked file"));
        }
        let kind = Kind::of(&seen)?;
        let verbs = kind.verbs();
        let (name, by_description) = (verbs.name(), verbs.identity() == Identity::Description);
        let among = if by_description {
            Among::Anonymous(seen.link.0.clone())
        } else {
            Among::Inode(inodes.add_seen(&seen, kind.clone(), dump_plan)?)
        };
        let unnamed = if info.flags & O_TMPFILE_BIT != 0 { libc::O_TMPFILE } else { 0 };
        // State of a pidfd; the kernel removes the flag from all other files when it opens them
        // (O_EXCL, `do_dentry_open` in fs/open.c).
        let flags = info.flags & !(libc::O_CLOEXEC | PIDFD_THREAD | unnamed);
        let cloexec = info.flags & libc::O_CLOEXEC != 0;
        let is_path = flags & libc::O_PATH != 0;
        if is_path && seen.is_external() {
            let why = " is a handle (O_PATH), which cannot be left outside; omit --external for it";
            return Err(Error::unsupported(Problem::of(seen.at(), why)));
        }
        if by_description && is_path {
            // Only a handle to the one inode that all of them share (fs/anon_inodes.c).
            let why = " is a handle (O_PATH) to a file without a path; close it first";
            return Err(Error::unsupported(Problem::of(seen.at(), why)));
        }
        let file = self.all.len();
        let ino = seen.meta.ino();
        let known = self.known.entry(among.clone()).or_insert_with(|| Candidates::new(ino));
        let same = known.sorted.insert(by, fd as u64, file).context(|| {
            format!("{who}: compare with other descriptors of the same {name} (needs CONFIG_KCMP)")
        })?;
        if let Some(same) = same {
            let file = same.value;
            self.locks.add(&mut self.all[file].locks, locks);
            return Ok(Fd { fd, file, cloexec });
        }
        let inode = match &among {
            Among::Inode(inode) => *inode,
            Among::Anonymous(_) => inodes.add_anonymous(kind.clone(), &who),
        };
        let owner = if is_path {
            None
        } else {
            let dup = task::borrow_fd(pidfd, fd).context(|| format!("{who}: duplicate"))?;
            owner(&dup, &who)?
        };
        let offset = if kind.verbs().keeps_offset() { info.pos } else { 0 };
        self.all.push(OpenFile { inode, flags, offset, owner, locks: Vec::new() });
        self.locks.add(&mut self.all[file].locks, locks);
        if let Some(owner) = owner {
            self.owned.push((pid, fd, owner, kind == Kind::Directory));
        }
        if is_path {
            return Ok(Fd { fd, file, cloexec });
        }
        inodes.kind_mut(inode).look(&info);
        if kind.verbs().is_shared_state(flags) || !self.all[file].locks.is_empty() {
            let sets = self.shared.entry(seen.link.0.clone()).or_default();
            if !sets.contains(&among) {
                sets.push(among);
            }
            self.is_shared.insert(file);
        }
        let descriptor = Descriptor { process, fd, flags };
        if kind.verbs().is_ours_alone() {
            let node = (seen.meta.dev(), seen.meta.ino());
            self.by_name.insert(seen.link.0.clone(), (node, descriptor));
        }
        self.descriptors.entry(inode).or_default().push(descriptor);
        let mut used = Vec::new();
        for handle in inodes.kind_mut(inode).uses(&info, &who)? {
            let link = link_to(&handle);
            let found = Found { link: &link, who: &who, fd: None, job: None };
            used.push(self.add_found(&found, libc::O_PATH, inodes, dump_plan)?);
        }
        inodes.kind_mut(inode).set_used(used);
        Ok(Fd { fd, file, cloexec })
    }

    /// Says which processes have the descriptor table of an earlier one, through which all is found
    /// that is in it.
    pub fn set_shared_tables(&mut self, tables: BTreeMap<i32, i32>) {
        self.shared_tables = tables;
    }

    /// The file locks that descriptors show.
    pub fn take_locks(&mut self) -> SavedLocks {
        std::mem::take(&mut self.locks)
    }

    /// No files yet, of a job.
    pub fn of(job: Job) -> Self {
        Files { job, ..Files::default() }
    }

    /// The processes of the job that are alive.
    pub fn processes(&self) -> &[Seen] {
        self.job.processes()
    }

    /// Refuses names of external files to which no descriptor leads.
    pub fn refuse_unknown(&self, inodes: &Inodes, problems: &mut Problems) {
        let is_met = |name: &PathBytes| {
            inodes.kinds().any(|kind| matches!(kind, Kind::External(external) if external.name == *name))
        };
        for name in self.job.external.iter().filter(|name| !is_met(name)) {
            problems.push(format!("--external {name}: no descriptor of the job refers to it"));
        }
    }

    /// Refuses I/O owners that are not saved, and directory notifications, which are visible only
    /// by their owner (fs/notify/dnotify/dnotify.c, `fcntl_dirnotify`). `inside`: ids of threads,
    /// processes and process groups.
    pub fn refuse_owners(&self, inside: &HashSet<i32>, problems: &mut Problems) {
        for (pid, fd, owner, is_directory) in &self.owned {
            let id = owner.id;
            if *is_directory {
                problems.push(Problem::of(
                    Subject::fd(*pid, *fd),
                    " is a directory with change notifications (F_NOTIFY); close it first",
                ));
            } else if id != 0 && !inside.contains(&id) {
                problems.push(Problem::external(
                    Subject::fd(*pid, *fd),
                    External::SignalOwner,
                    format!(" has an owner of async I/O outside the job (F_SETOWN): {id}; save a tree that contains both, or clear the owner (F_SETOWN 0)"),
                ));
            }
        }
    }

    /// Refuses a lease of a file that is mapped or executed: at a restart that is another open of
    /// the file, with which there is no lease (fs/locks.c, `check_conflicting_open`).
    pub fn refuse_leases(&self, inodes: &Inodes, problems: &mut Problems) {
        let is_opened = |file: &OpenFile| {
            self.opened.keys().any(|(inode, flags)| *inode == file.inode && flags & libc::O_PATH == 0)
        };
        for file in self.all.iter().filter(|file| file.has_lease() && is_opened(file)) {
            let user = inodes.user(file.inode).clone();
            let why = " has a lease, and is mapped or executed, too; release it, or unmap it";
            problems.push(Problem::of(user, why));
        }
    }

    /// Allows processes outside to share descriptions, except those with locks: whoever keeps such
    /// a description keeps the lock from a restart.
    pub fn allow_sharing(&mut self) {
        self.is_shared.retain(|file| !self.all[*file].locks.is_empty());
        self.by_name.clear();
    }

    /// Link targets in /proc by which a process outside may have the same descriptions, or the same
    /// object where that matters.
    pub fn shared_links(&self) -> HashSet<Vec<u8>> {
        let by_name = self.by_name.keys().cloned();
        let shared = self.shared.keys().filter(|_| !self.is_shared.is_empty()).cloned();
        shared.chain(by_name).collect()
    }

    /// A descriptor (pid, fd) in the tree with the open file description that a thread outside has
    /// as `fd`, with link target `link`, or with the object where a process outside may not have
    /// that at all. Also `None` if sharing it does not matter, and if the thread has just exited.
    pub fn shared_with(&self, link: &[u8], tid: i32, fd: i32) -> Option<(i32, i32)> {
        if let Some((node, ours)) = self.by_name.get(link) {
            let meta = std::fs::metadata(format!("/proc/{tid}/fd/{fd}")).ok();
            return meta
                .filter(|meta| (meta.dev(), meta.ino()) == *node)
                .map(|_| (ours.process.pid, ours.fd));
        }
        let sets = self.shared.get(link).into_iter().flatten().map(|among| &self.known[among].sorted);
        let found = sets.filter_map(|set| set.find(tid, fd as u64).ok().flatten());
        let mut found = found.filter(|same| self.is_shared.contains(&same.value));
        let same = found.next()?;
        let ours = self.processes().iter().find(|process| process.by == same.pid)?;
        Some((ours.pid, same.number as i32))
    }

    /// Finds or adds a description that is in no descriptor table: of a mapping, an executable, a
    /// working directory.
    ///
    /// # Errors
    /// *unsupported*, with the kind; *vanished*.
    pub fn add_found(
        &mut self,
        found: &Found<'_>,
        flags: i32,
        inodes: &mut Inodes,
        dump_plan: &mut DumpPlan,
    ) -> Result<usize> {
        let inode = inodes.add(found, dump_plan)?;
        let verbs = inodes.kind(inode).verbs();
        // At a restart it is needed before there are tasks.
        if verbs.refers_to_task() {
            let why = format!(": is a {} that is about a process; leave or unmap it", verbs.name());
            return Err(Error::unsupported(Problem::of(found.who.clone(), why)));
        }
        Ok(*self.opened.entry((inode, flags)).or_insert_with(|| {
            self.all.push(OpenFile { inode, flags, offset: 0, owner: None, locks: Vec::new() });
            self.all.len() - 1
        }))
    }

    /// The open file description of this index.
    pub fn get(&self, file: usize) -> &OpenFile {
        &self.all[file]
    }

    /// Captures the state of all objects, once the descriptors of each are known. `tables` are the
    /// descriptor tables by PID. Returns the lock of TCP connections to outside, if there is one.
    ///
    /// # Errors
    /// One per object: *unsupported* for a pipe with an end outside; what the kernel reports.
    pub fn capture(
        &self,
        inodes: &mut Inodes,
        tables: HashMap<i32, &[Fd]>,
    ) -> Result<Option<Lock>, Vec<Error>> {
        let ptys = self.ptys(inodes);
        let all =
            Descriptions { files: self, tables, by_ino: OnceCell::new(), ptys, network: Network::default() };
        let mut errors = Vec::new();
        let mut met: Vec<_> = self.descriptors.iter().collect();
        met.sort_unstable_by_key(|(inode, _)| **inode);
        for (inode, descriptors) in met {
            errors.extend(inodes.kind_mut(*inode).capture(descriptors, &all).err());
        }
        if errors.is_empty() { Ok(all.network.into_lock()) } else { Err(errors) }
    }

    /// Both sides of each pseudo-terminal.
    fn ptys(&self, inodes: &Inodes) -> HashMap<u32, Pty> {
        let mut ptys: HashMap<u32, Pty> = HashMap::new();
        for (index, file) in self.all.iter().enumerate().filter(|(_, file)| !file.is_path()) {
            match inodes.kind(file.inode) {
                Kind::PtyMaster(master) => ptys.entry(master.index).or_default().master = Some(index),
                Kind::PtySlave(slave) => {
                    let first = self.descriptors.get(&file.inode).and_then(|all| all.first());
                    let pty = ptys.entry(slave.index).or_default();
                    pty.is_open = true;
                    pty.slave = pty.slave.or(first.copied().filter(|_| slave.has_own_name()));
                }
                _ => {}
            }
        }
        ptys
    }

    /// Refuses objects that refer to something outside. `inside`: ids of processes and threads.
    pub fn refuse_references(&self, inode: &Inodes, inside: &HashSet<i32>, problems: &mut Problems) {
        for (index, descriptors) in &self.descriptors {
            let verbs = inode.kind(*index).verbs();
            let tasks = verbs.refers_to().into_iter().filter_map(Reference::task);
            // Without an id it was refused already.
            for id in tasks.filter(|id| *id > 0 && !inside.contains(id)) {
                let why = format!(
                    " is a {} of process {} outside the job; save a tree that contains both, or close it first",
                    verbs.name(),
                    id
                );
                let problem = Problem::external(descriptors[0].at(), External::Task, why);
                problems.extend(Problems { reasons: vec![problem], lasting: !verbs.closes_soon() });
            }
        }
    }

    /// The table for the records.
    pub fn finish(self) -> Vec<OpenFile> {
        self.all
    }
}

/// The open file descriptions of a job.
pub struct Descriptions<'a> {
    files: &'a Files,
    /// Descriptor tables by PID.
    tables: HashMap<i32, &'a [Fd]>,
    /// Candidate sets by inode number, once one is searched.
    by_ino: OnceCell<HashMap<u64, Vec<&'a Sorted<usize>>>>,
    /// By number.
    ptys: HashMap<u32, Pty>,
    network: Network,
}

/// The sides of a pseudo-terminal that are open in the job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pty {
    /// The open file description of the master.
    pub master: Option<usize>,
    /// Whether the other side is open.
    pub is_open: bool,
    /// A descriptor of the other side that was opened by its own name.
    pub slave: Option<Descriptor>,
}

impl Descriptions<'_> {
    /// The pseudo-terminal of this number.
    pub fn pty(&self, index: u32) -> Pty {
        self.ptys.get(&index).copied().unwrap_or_default()
    }

    /// What the network namespace tells of its sockets.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The one of the socket with this inode number, if the job has it.
    pub fn socket(&self, ino: u32) -> Option<usize> {
        let among = Among::Anonymous(format!("socket:[{ino}]").into_bytes());
        self.files.known.get(&among)?.sorted.any().map(|member| member.value)
    }

    /// What becomes of TCP connections to outside.
    pub fn established(&self) -> Established {
        self.files.job.established
    }

    /// The processes of the job that are alive.
    pub fn processes(&self) -> &[Seen] {
        self.files.processes()
    }

    /// A descriptor of one that is in a table.
    pub fn descriptor(&self, file: usize) -> Descriptor {
        self.files.descriptors[&self.files.all[file].inode][0]
    }

    /// Whether the job has a process with this PID.
    pub fn has_process(&self, pid: i32) -> bool {
        self.tables.contains_key(&pid)
    }

    /// The one that a descriptor of the engine, on an inode of number `ino`, is of.
    ///
    /// # Errors
    /// As kcmp(2).
    pub fn find_own(&self, fd: BorrowedFd<'_>, ino: u64) -> io::Result<Option<usize>> {
        let own = std::process::id() as i32;
        for set in self.sets_of(ino) {
            if let Some(member) = set.find(own, fd.as_raw_fd() as u64)? {
                return Ok(Some(member.value));
            }
        }
        Ok(None)
    }

    /// The candidate sets of an inode number.
    fn sets_of(&self, ino: u64) -> impl Iterator<Item = &Sorted<usize>> {
        let by_ino = self.by_ino.get_or_init(|| {
            let mut by_ino: HashMap<u64, Vec<_>> = HashMap::new();
            for set in self.files.known.values() {
                by_ino.entry(set.ino).or_default().push(&set.sorted);
            }
            by_ino
        });
        by_ino.get(&ino).into_iter().flatten().copied()
    }

    /// The one that an epoll instance of a process watches, on an inode of number `ino`, added
    /// with number `fd`, which it usually still has; `None` if no descriptor of the job leads to
    /// it.
    ///
    /// # Errors
    /// As [`kcmp::kcmp_watched`].
    pub fn find_watched(
        &self,
        process: Seen,
        fd: i32,
        ino: u64,
        target: EpollTarget,
    ) -> io::Result<Option<usize>> {
        let Seen { pid, by } = process;
        let table = self.tables.get(&pid).copied().unwrap_or_default();
        if let Some(fd) = table::find(table, fd)
            && kcmp::kcmp_watched(by, fd.fd as u64, by, &target)? == Ordering::Equal
        {
            return Ok(Some(fd.file));
        }
        for set in self.sets_of(ino) {
            let compare = |member: &Member<usize>| kcmp::kcmp_watched(member.pid, member.number, by, &target);
            if let Some(member) = set.find_by(compare)? {
                return Ok(Some(member.value));
            }
        }
        Ok(None)
    }
}

fn owner(fd: &OwnedFd, who: &Subject) -> Result<Option<FileOwner>> {
    let (kind, id) = crate::sys::file::owner(fd.as_fd()).context(|| format!("{who}: read owner"))?;
    let signal = crate::sys::file::signal(fd.as_fd()).context(|| format!("{who}: read signal"))?;
    Ok((id != 0 || signal != 0).then_some(FileOwner { kind, id, signal }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process outside that shares the description may do this during a checkpoint.
    #[test]
    fn a_position_that_moves_meanwhile_does_not_split_a_description() {
        use rustix::process::{PidfdFlags, getpid, pidfd_open};
        use std::io::{Seek, SeekFrom};
        let dir = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create_new(dir.path().join("log")).unwrap();
        let (copy, other) = (file.try_clone().unwrap(), std::fs::File::open(dir.path().join("log")).unwrap());
        let pid = std::process::id() as i32;
        let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let (mut files, mut inodes, mut dump_plan) =
            (Files::default(), Inodes::default(), DumpPlan::default());
        let mut add = |fd: &dyn AsRawFd| {
            files
                .add_fd(pidfd.as_fd(), Seen::by_leader(pid), fd.as_raw_fd(), &mut inodes, &mut dump_plan)
                .unwrap()
                .file
        };
        let first = add(&file);
        file.seek(SeekFrom::Start(17)).unwrap();
        rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::APPEND).unwrap();
        assert_eq!(add(&copy), first);
        assert_ne!(add(&other), first);
        assert_eq!(add(&file), first);
    }
}
