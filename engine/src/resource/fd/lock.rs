//! File locks and leases (fs/locks.c): those of flock(2), `F_OFD_SETLK` and `F_SETLEASE` belong to
//! an open file description, those of `F_SETLK` to a process.
//!
//! /proc/PID/fdinfo shows those that a descriptor holds. A mapping keeps the open file, and its
//! lock, after close(2): such a lock is in /proc/locks only.

use super::{Holder, Programs};
use crate::error::{Context, Error, Problem, Problems, Result, Subject};
use crate::proc::fdinfo::FdInfo;
use crate::proc::maps;
use crate::remote::Arg;
use crate::resource::Records;
use crate::resource::mm::vma::{Backing, Vma};
use crate::sys::page_size;
use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread::JoinHandle;

/// By which system call a lock is taken, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// flock(2): of the open file description.
    Flock,
    /// `F_OFD_SETLK`: of the open file description.
    Description,
    /// `F_SETLK`: of the process with this PID.
    Process(i32),
    /// `F_SETLEASE`: of the open file description, though not against others.
    Lease,
}

/// A lock held through an open file description.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileLock {
    /// Whose it is.
    pub owner: Owner,
    /// Whether it excludes every other lock; otherwise only those that are exclusive.
    pub exclusive: bool,
    /// First byte.
    pub start: u64,
    /// Last byte; `None` for all that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
}

impl FileLock {
    /// As the kernel takes it, `struct flock`.
    fn flock(&self) -> libc::flock {
        let kind = if self.exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
        libc::flock {
            l_type: kind as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: self.start as i64,
            l_len: self.end.map_or(0, |end| end as i64 - self.start as i64 + 1),
            l_pid: 0,
        }
    }

    /// The same in memory: two 16-bit numbers, padding, two 64-bit numbers, a PID, padding
    /// (include/uapi/asm-generic/fcntl.h on 64-bit architectures).
    fn to_bytes(&self) -> Vec<u8> {
        let flock = self.flock();
        let mut bytes = Vec::with_capacity(32);
        bytes.extend([flock.l_type, flock.l_whence, 0, 0].iter().flat_map(|n| n.to_ne_bytes()));
        bytes.extend([flock.l_start, flock.l_len, 0].iter().flat_map(|n| n.to_ne_bytes()));
        bytes
    }

    /// Whether it can only be taken through a description to write.
    fn needs_writing(&self) -> bool {
        self.exclusive && matches!(self.owner, Owner::Description | Owner::Process(_))
    }

    /// Whether it is a lease.
    pub fn is_lease(&self) -> bool {
        self.owner == Owner::Lease
    }

    /// For messages.
    fn describe(&self) -> String {
        let how = if self.exclusive { "exclusive" } else { "shared" };
        match (self.owner, self.end) {
            (Owner::Flock, _) => format!("{how} flock(2) lock"),
            (Owner::Lease, _) => format!("{how} lease"),
            (_, None) => format!("{how} lock from byte {}", self.start),
            (_, Some(end)) => format!("{how} lock of bytes {} to {end}", self.start),
        }
    }

    /// Checks that it is one that the kernel could have had.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> std::result::Result<(), String> {
        let last = i64::MAX as u64;
        let range = self.start <= last && self.end.is_none_or(|end| (self.start..=last).contains(&end));
        if range { Ok(()) } else { Err("an invalid range of a file lock".into()) }
    }

    /// Takes a lock of the description back; checks that one of a process is free.
    ///
    /// # Errors
    /// *conflict*, with whoever has it now.
    pub fn take(&self, fd: &OwnedFd, name: &str) -> Result<()> {
        let what = || format!("{name}: take back its {}", self.describe());
        let taken = match self.owner {
            Owner::Flock => {
                use FlockOperation::{NonBlockingLockExclusive, NonBlockingLockShared};
                let how = if self.exclusive { NonBlockingLockExclusive } else { NonBlockingLockShared };
                rustix::fs::flock(fd, how)
            }
            Owner::Description => fcntl(fd, FcntlArg::F_OFD_SETLK(&self.flock()))
                .map(drop)
                .map_err(|errno| Errno::from_raw_os_error(errno as i32)),
            Owner::Lease => Ok(()),
            Owner::Process(_) => {
                let mut found = self.flock();
                fcntl(fd, FcntlArg::F_OFD_GETLK(&mut found)).map_err(std::io::Error::from).context(what)?;
                if i32::from(found.l_type) == libc::F_UNLCK { Ok(()) } else { Err(Errno::AGAIN) }
            }
        };
        match taken {
            Err(Errno::AGAIN | Errno::ACCESS) => {
                let holder = holder(fd).map_or("another process".into(), |pid| format!("process {pid}"));
                let lock = self.describe();
                Err(Error::Conflict(format!(
                    "{name}: {holder} has locked it, and the job had an {lock}; end that process, or let it unlock the file"
                )))
            }
            other => other.context(what),
        }
    }

    /// Adds the call that takes back a lock of a process, or a lease, which tells its breaker's
    /// signal the number of the descriptor. `owner` gets that signal.
    ///
    /// # Errors
    /// The process has not the file.
    pub fn retake(
        &self,
        owner: Option<i32>,
        holders: &[Holder<'_>],
        programs: &mut Programs,
    ) -> std::result::Result<(), String> {
        let is = |pid: i32| holders.iter().find(move |holder| holder.pid == pid);
        let holder = match self.owner {
            Owner::Flock | Owner::Description => return Ok(()),
            Owner::Process(pid) => is(pid),
            Owner::Lease => owner.and_then(is).or(holders.first()),
        };
        let holder = holder.ok_or("a lock of a process that has not the file")?;
        let (fd, program) = (holder.fd.fd, programs.of(holder.pid));
        let (command, argument) = match self.owner {
            Owner::Lease => (libc::F_SETLEASE, i32::from(self.flock().l_type).into()),
            _ => (libc::F_SETLK, Arg::Data(program.bytes(self.to_bytes()), 0)),
        };
        let args: [Arg; 3] = [fd.into(), command.into(), argument];
        program.call_ok(libc::SYS_fcntl, &args, format!("take back {} through fd {fd}", self.describe()));
        if self.is_lease() && owner.is_none_or(|owner| owner == 0) {
            // Whoever takes a lease becomes the owner of a file without one (`lease_setup`).
            let args: [Arg; 3] = [fd.into(), libc::F_SETOWN.into(), Arg::Imm(0)];
            program.call_ok(libc::SYS_fcntl, &args, format!("clear the owner of fd {fd}"));
        }
        Ok(())
    }
}

/// A process that has a lock on a file, if /proc/locks shows one.
fn holder(fd: &OwnedFd) -> Option<i32> {
    let meta = File::from(fd.try_clone().ok()?).metadata().ok()?;
    let locks = read_all();
    let lock = locks
        .iter()
        .filter_map(|lock| Line::parse_text(lock))
        .find(|lock| lock.file == (meta.dev(), meta.ino()))?;
    (lock.pid > 0).then_some(lock.pid)
}

/// A lock as /proc/locks (proc_locks(5)) and fdinfo describe it (fs/locks.c, `lock_get_status`).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line<'a> {
    /// `FLOCK`, `POSIX`, `OFDLCK`, `LEASE`, `DELEG` …
    kind: &'a str,
    /// `ADVISORY`, `MANDATORY`, `ACTIVE` …
    mode: &'a str,
    /// `READ`, `WRITE` …
    access: &'a str,
    /// PID of the process that took it; -1 if unknown.
    pid: i32,
    /// Device number and inode number.
    file: (u64, u64),
    /// First byte.
    start: u64,
    /// Last byte; `None` for `EOF`.
    end: Option<u64>,
    /// All of it but the number in front.
    text: &'a str,
}

impl<'a> Line<'a> {
    /// `None` for a waiter and for an unknown format.
    fn parse(line: &'a str) -> Option<Self> {
        let (_number, text) = line.split_once(": ")?;
        Line::parse_text(text)
    }

    /// The same without the number in front.
    fn parse_text(text: &'a str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let kind = words.next().filter(|word| *word != "->")?;
        let (mode, access) = (words.next()?, words.next()?);
        let pid = words.next()?.parse().ok()?;
        let mut file = words.next()?.split(':');
        let mut number = |radix| u64::from_str_radix(file.next()?, radix).ok();
        let (major, minor, inode) = (number(16)?, number(16)?, number(10)?);
        let file = (rustix::fs::makedev(major as u32, minor as u32), inode);
        let start = words.next()?.parse().ok()?;
        let end = match words.next()? {
            "EOF" => None,
            end => Some(end.parse().ok()?),
        };
        Some(Line { kind, mode, access, pid, file, start, end, text: text.trim_end() })
    }

    /// Who may have it, of whom no descriptor of the job shows it. All processes outside are only
    /// looked at if the one that took it does not tell.
    fn who(&self, inside: &HashSet<i32>, others: &OnceCell<Others>) -> Who {
        if inside.contains(&self.pid) {
            return Who::Job;
        }
        let taker = Others::look([self.pid]);
        if taker.shown.contains(self.text) || taker.mapped.contains_key(&self.file) {
            return Who::Other;
        }
        let others = others.get_or_init(|| Others::outside(inside));
        if others.shown.contains(self.text) {
            return Who::Other;
        }
        others.mapped.get(&self.file).map_or(Who::Job, |pid| Who::JobOr(*pid))
    }

    /// The lock, seen through a descriptor of process `pid`, or of any other that `has_table`. To
    /// the kernel a lock of a process is one of its descriptor table (`posix_same_owner`); who took
    /// it is what F_GETLK tells others.
    ///
    /// # Errors
    /// What it is, if it cannot be taken back.
    fn lock(&self, pid: i32, has_table: impl Fn(i32) -> bool) -> std::result::Result<FileLock, &'static str> {
        let owner = match self.kind {
            "FLOCK" => Owner::Flock,
            "OFDLCK" => Owner::Description,
            "POSIX" => Owner::Process(if has_table(self.pid) { self.pid } else { pid }),
            "LEASE" => Owner::Lease,
            "DELEG" => return Err("a delegation"),
            _ => return Err("a lock of an unknown kind"),
        };
        let exclusive = match (self.mode, self.access) {
            ("ADVISORY" | "ACTIVE", "WRITE") => true,
            ("ADVISORY" | "ACTIVE", "READ") => false,
            ("BREAKING", _) => return Err("a lease that is being broken"),
            _ => return Err("a mandatory lock"),
        };
        Ok(FileLock { owner, exclusive, start: self.start, end: self.end })
    }
}

/// The locks that a descriptor of process `pid` shows, each with its description by the kernel.
/// `has_table` tells who else has its descriptor table.
///
/// # Errors
/// What one is that cannot be taken back.
pub fn held(
    info: &FdInfo,
    pid: i32,
    has_table: impl Fn(i32) -> bool,
) -> std::result::Result<Vec<(FileLock, String)>, &'static str> {
    let read = |line: &str| {
        let line = Line::parse(line).ok_or("a lock of an unknown kind")?;
        Ok((line.lock(pid, &has_table)?, line.text.to_owned()))
    };
    info.lines("lock").map(read).collect()
}

/// Reads /proc/locks: the description of each lock, without the number in front. The kernel
/// describes what fits into a page at once, and counts to where it was for the next read(2)
/// (fs/seq_file.c, `seq_read_iter`): of what others lock and unlock meanwhile, it may show a lock
/// beside the border of two pages twice, or leave it out. A longer text is read several times, each
/// time with other borders; of each lock there are as many as most of them show.
fn read_all() -> Vec<String> {
    const TIMES: usize = 5;
    let page = page_size() as usize;
    // What cannot be read shows no locks.
    let text = read_from_border(0).unwrap_or_default();
    if text.len() < page - LINE_ROOM {
        return descriptions(&text).map(str::to_owned).collect();
    }
    let more = (1..TIMES).map(|time| read_from_border(page * time / TIMES).unwrap_or_default());
    let mut counts: BTreeMap<String, [usize; TIMES]> = BTreeMap::new();
    for (time, text) in std::iter::once(text).chain(more).enumerate() {
        for lock in descriptions(&text) {
            counts.entry(lock.to_owned()).or_default()[time] += 1;
        }
    }
    let median = |mut counts: [usize; TIMES]| {
        counts.sort_unstable();
        counts[TIMES / 2]
    };
    counts.into_iter().flat_map(|(lock, counts)| std::iter::repeat_n(lock, median(counts))).collect()
}

/// More than a line of /proc/locks ever has.
const LINE_ROOM: usize = 256;

fn descriptions(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(Line::parse).map(|line| line.text)
}

/// All of /proc/locks, with a border before the line in which byte `border` is, on the first page,
/// and after each page from there.
fn read_from_border(border: usize) -> std::io::Result<String> {
    let open = || File::open("/proc/locks");
    let mut text = vec![0; border];
    let len = open()?.read(&mut text)?;
    text.truncate(text[..len].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    // What is left of the first page would be shown as it was.
    let (file, mut room) = (open()?, vec![0; page_size() as usize]);
    loop {
        let len = file.read_at(&mut room, text.len() as u64)?;
        text.extend_from_slice(&room[..len]);
        // Where another line had room, there was none; by now there may be.
        if len < room.len() - LINE_ROOM {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The locks that descriptors show: how many there are of each description by the kernel.
#[derive(Debug, Default)]
pub struct SavedLocks(HashMap<String, usize>);

impl SavedLocks {
    /// Adds what a descriptor shows to the sorted locks of its open file: those of the description
    /// each time, and those of the process that has it.
    pub fn add(&mut self, locks: &mut Vec<FileLock>, shown: Vec<(FileLock, String)>) {
        for (lock, text) in shown {
            if let Err(at) = locks.binary_search(&lock) {
                locks.insert(at, lock);
                *self.0.entry(text).or_default() += 1;
            }
        }
    }

    /// Takes one away, if there is any left.
    fn take(&mut self, text: &str) -> bool {
        let left = self.0.get_mut(text).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

/// A scan of all file locks, in progress. Before it returns anything, the kernel waits for lock
/// operations in progress, some ten milliseconds (fs/locks.c, `locks_start`: `percpu_down_write`).
pub struct Look(JoinHandle<Vec<String>>);

impl Look {
    /// Starts the scan; all processes to be saved must be stopped.
    pub fn begin() -> Self {
        Look(std::thread::spawn(read_all))
    }

    /// Restricts the scan to locks on files in use. `saved`: those that descriptors show; `inside`:
    /// pids and tids of the saved tree.
    pub fn among(self, users: Users, saved: SavedLocks, inside: HashSet<i32>) -> Locks {
        Locks { users, saved, inside, all: self.0 }
    }
}

/// The inode of a file and where it is used, by device and inode number.
pub type Users = HashMap<(u64, u64), (usize, Subject)>;

/// The locks on files in use, available when the scan has finished.
pub struct Locks {
    users: Users,
    saved: SavedLocks,
    inside: HashSet<i32>,
    all: JoinHandle<Vec<String>>,
}

/// Who has a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// If anybody, the job: no process outside has the file mapped.
    Job,
    /// The job, or this process outside, which has it mapped.
    JobOr(i32),
    /// A process outside.
    Other,
}

/// What processes outside show of locks.
#[derive(Default)]
struct Others {
    /// The locks of their descriptors, as the kernel describes them.
    shown: HashSet<String>,
    /// The files that they have mapped, and one that has.
    mapped: HashMap<(u64, u64), i32>,
}

impl Others {
    fn outside(inside: &HashSet<i32>) -> Self {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self::look(pids.filter(|pid| !inside.contains(pid)))
    }

    /// Of one that has exited there is nothing to be seen.
    fn look(pids: impl IntoIterator<Item = i32>) -> Self {
        let mut seen = Others::default();
        for pid in pids {
            let infos = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
            for info in infos.filter_map(|info| std::fs::read_to_string(info.path()).ok()) {
                let locks =
                    info.lines().filter_map(|line| line.strip_prefix("lock:")).filter_map(Line::parse);
                seen.shown.extend(locks.map(|lock| lock.text.to_owned()));
            }
            let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
            for mapping in maps::parse(&maps).filter(|mapping| mapping.inode != 0) {
                let (major, minor) = mapping.dev;
                seen.mapped.insert((rustix::fs::makedev(major, minor), mapping.inode), pid);
            }
        }
        seen
    }
}

/// A lock on a file in use that no descriptor shows.
pub struct Unexplained {
    /// As the kernel describes it.
    text: String,
    who: Who,
    /// The inode, and where it is used.
    user: (usize, Subject),
}

impl Locks {
    /// Whether the scan has finished.
    pub fn is_done(&self) -> bool {
        self.all.is_finished()
    }

    /// Locks on files in use, beyond those that descriptors show, that nobody outside has: a
    /// mapping keeps them. A POSIX lock is released by the first close(2).
    pub fn unexplained(mut self) -> Vec<Unexplained> {
        let all = self.all.join().expect("the thread that reads /proc/locks does not panic");
        let (mut found, others) = (Vec::new(), OnceCell::new());
        let all = all.iter().filter_map(|lock| Line::parse_text(lock));
        for lock in all.filter(|lock| lock.kind != "POSIX") {
            if self.saved.take(lock.text) {
                continue;
            }
            let Some(user) = self.users.get(&lock.file) else { continue };
            let who = lock.who(&self.inside, &others);
            if who != Who::Other {
                found.push(Unexplained { text: lock.text.to_owned(), who, user: user.clone() });
            }
        }
        found
    }

    /// Adds those that a mapping keeps to the file that it is of; returns reasons to refuse others.
    pub fn settle(self, records: &mut Records) -> Problems {
        let mut problems = Problems::default();
        for Unexplained { text, who, user: (inode, user) } in self.unexplained() {
            let line = Line::parse_text(&text).expect("it was parsed before");
            let path = &records.inodes[inode].path;
            let files = mapped(records, inode, line.pid);
            let mut refuse = |why: &str| {
                problems.push(Problem::of(user.clone(), format!(": {path} has a {why}")));
            };
            let lock = line.lock(line.pid, |_| false);
            match (lock, who, files.as_slice()) {
                // Whoever has it, nobody in the job.
                (_, _, []) => {}
                (_, Who::JobOr(other), _) => refuse(&format!(
                    "file lock that a mapping of the job or of process {other} keeps, and the kernel does not show which; end that process first"
                )),
                (Ok(FileLock { owner: Owner::Lease, .. }), ..) => {
                    refuse("lease that a mapping keeps; unmap it first");
                }
                (Err(_), ..) => refuse("file lock of an unknown kind that a mapping keeps; unmap it first"),
                (Ok(lock), _, [file]) if !lock.needs_writing() || records.files[*file].writes() => {
                    records.files[*file].locks.push(lock);
                }
                (Ok(_), _, [_]) => {
                    refuse(
                        "file lock that a private mapping keeps, which takes one to write; unmap it first",
                    );
                }
                (Ok(_), ..) => {
                    refuse("file lock that one of several mappings keeps; unmap all but one first")
                }
            }
        }
        problems
    }
}

/// The files by which an inode is mapped: by this process if it has any, or else by all.
fn mapped(records: &Records, inode: usize, pid: i32) -> Vec<usize> {
    let of = |is: &dyn Fn(i32) -> bool| -> Vec<usize> {
        let memory = records.alive().filter(|(process, _)| is(process.pid)).map(|(_, alive)| &alive.memory);
        let file = |vma: &Vma| match vma.backing {
            Backing::File { file, .. } if records.files[file].inode == inode => Some(file),
            _ => None,
        };
        let files: BTreeSet<usize> = memory.flat_map(|memory| memory.vmas.iter().filter_map(file)).collect();
        files.into_iter().collect()
    };
    let own = of(&|process| process == pid);
    if own.is_empty() { of(&|_| true) } else { own }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "file-lock-lost",
        what: "files are not locked",
        commit: |r| r.files.iter_mut().for_each(|file| file.locks.clear()),
    },
    crate::resource::fault::Fault {
        name: "file-lock-shared",
        what: "exclusive locks of files become shared ones",
        commit: |r| {
            r.files.iter_mut().flat_map(|file| &mut file.locks).for_each(|lock| lock.exclusive = false)
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const FILE: (u64, u64) = (0x812, 345);

    #[rstest]
    #[case("1: FLOCK  ADVISORY  WRITE 2634 08:12:345 0 EOF", Some((Owner::Flock, true, 0, None)))]
    #[case("2: OFDLCK ADVISORY  READ  -1 08:12:345 0 9", Some((Owner::Description, false, 0, Some(9))))]
    #[case("3: POSIX  ADVISORY  WRITE 7 08:12:345 5 9223372036854775807", Some((Owner::Process(42), true, 5, Some(i64::MAX as u64))))]
    #[case("3: POSIX  ADVISORY  READ  9 08:12:345 5 EOF", Some((Owner::Process(9), false, 5, None)))]
    #[case("3: LEASE  ACTIVE    READ  7 08:12:345 0 EOF", Some((Owner::Lease, false, 0, None)))]
    #[case("3: LEASE  BREAKING  READ  7 08:12:345 0 EOF", None)]
    #[case("4: POSIX  MANDATORY WRITE 7 08:12:345 0 EOF", None)]
    #[case("5: FLOCK  MSNFS     READ  7 08:12:345 0 EOF", None)]
    fn lines_are_read(#[case] text: &str, #[case] want: Option<(Owner, bool, u64, Option<u64>)>) {
        let line = Line::parse(text).unwrap();
        assert_eq!(
            (rustix::fs::major(line.file.0), rustix::fs::minor(line.file.0), line.file.1),
            (8, 0x12, FILE.1)
        );
        let lock =
            line.lock(42, |pid| pid == 9).ok().map(|lock| (lock.owner, lock.exclusive, lock.start, lock.end));
        assert_eq!(lock, want);
    }

    #[test]
    fn what_is_no_lock_is_none() {
        assert_eq!(Line::parse("1: -> FLOCK  ADVISORY  WRITE 2635 08:12:345 0 EOF"), None);
        assert_eq!(Line::parse("nonsense"), None);
    }

    /// However much others lock and unlock, and wherever it is on a page.
    #[test]
    fn every_lock_is_read_once() {
        const MANY: u64 = 300;
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| -> OwnedFd { File::create_new(dir.path().join(name)).unwrap().into() };
        let file = open("file");
        let lock =
            |at| FileLock { owner: Owner::Description, exclusive: true, start: 2 * at, end: Some(2 * at) };
        (0..MANY).for_each(|at| lock(at).take(&file, "file").unwrap());
        let node = File::from(file.try_clone().unwrap()).metadata().unwrap();
        let others = ["a", "b"].map(open);
        let stop = &std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for other in &others {
                scope.spawn(move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        rustix::fs::flock(other, FlockOperation::LockExclusive).unwrap();
                        rustix::fs::flock(other, FlockOperation::Unlock).unwrap();
                    }
                });
            }
            let starts = || {
                let all = read_all();
                let mut starts: Vec<u64> = all
                    .iter()
                    .filter_map(|lock| Line::parse_text(lock))
                    .filter(|lock| lock.file.1 == node.ino() && lock.kind == "OFDLCK")
                    .map(|lock| lock.start / 2)
                    .collect();
                starts.sort_unstable();
                starts
            };
            let wrong = (0..100).map(|_| starts()).find(|starts| !starts.iter().copied().eq(0..MANY));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(wrong, None);
        });
    }

    #[rstest]
    #[case(Owner::Flock, 0, None)]
    #[case(Owner::Description, 3, Some(3))]
    #[case(Owner::Process(1), 3, None)]
    fn a_lock_conflicts_with_that_of_another(
        #[case] owner: Owner,
        #[case] start: u64,
        #[case] end: Option<u64>,
        #[values(true, false)] exclusive: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let open = || -> OwnedFd {
            File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap().into()
        };
        let (first, second) = (open(), open());
        let lock = FileLock { owner, exclusive, start, end };
        lock.validate().unwrap();
        lock.take(&first, "file").unwrap();
        lock.take(&first, "file").unwrap();
        // That of a process is only looked at; whatever is in its way is in that of a description.
        let other = if owner == Owner::Flock { owner } else { Owner::Description };
        let other = FileLock { owner: other, exclusive: true, start: 0, end: None };
        match owner {
            Owner::Process(_) => {
                other.take(&second, "file").unwrap();
                assert!(matches!(lock.take(&first, "file"), Err(Error::Conflict(_))));
            }
            _ => assert!(matches!(other.take(&second, "file"), Err(Error::Conflict(_)))),
        }
    }
}
