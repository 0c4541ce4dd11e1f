//! Open file descriptions and descriptor tables.

use super::inode::{Found, Inode, InodeKind, Inodes};
use super::pages::Copying;
use super::pipe::{self, OtherSide, Pipe};
use crate::error::{Context, Error, Problem, Problems, Result};
use crate::proc::read_short;
use crate::remote::{Arg, Program};
use crate::sys::{kcmp, task};
use crate::tree::outside::Shown;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Who is signalled of I/O (F_SETOWN_EX, F_SETSIG).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOwner {
    /// `F_OWNER_*`
    pub kind: i32,
    /// Thread, process or group.
    pub id: i32,
    /// The signal, 0 for SIGIO.
    pub signal: i32,
}

/// An open file description: what dup(2) and fork(2) share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// Index of the inode.
    pub inode: usize,
    /// `O_*`, without what only concerns opening.
    pub flags: i32,
    /// Position.
    pub offset: u64,
    /// Asynchronous I/O.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<FileOwner>,
}

impl OpenFile {
    /// The flags to open it with. A pipe begins to tell of I/O when a process sets that on its own descriptor (fs/pipe.c, `pipe_fasync`): opened so,
    /// it only seems to.
    pub fn flags_to_open(&self, inode: &Inode) -> i32 {
        if self.tells_of_io(inode) { self.flags & !libc::O_ASYNC } else { self.flags }
    }

    /// Whether somebody is signalled when a pipe is ready.
    pub fn tells_of_io(&self, inode: &Inode) -> bool {
        self.flags & libc::O_ASYNC != 0 && matches!(inode.kind, InodeKind::Pipe(_) | InodeKind::Fifo(_))
    }
}

/// Has the kernel tell of I/O from here on, by a descriptor of the process that the program runs in: the signal names its number.
pub fn tell_of_io(fd: &Fd, file: &OpenFile, program: &mut Program) {
    let args: [Arg; 3] = [fd.fd.into(), libc::F_SETFL.into(), file.flags.into()];
    program.must(libc::SYS_fcntl, &args, format!("have fd {} tell of I/O", fd.fd));
}

/// A descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fd {
    /// Its number.
    pub fd: i32,
    /// Index of the open file description.
    pub file: usize,
    /// `FD_CLOEXEC`
    pub cloexec: bool,
}

/// `__O_TMPFILE`, include/uapi/asm-generic/fcntl.h: how a file came to be, not what it is. `O_TMPFILE` is it and `O_DIRECTORY`.
const O_TMPFILE_BIT: i32 = 0o20_000_000;

/// What /proc/PID/fdinfo/N says of every kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdInfo {
    /// Position.
    pub pos: u64,
    /// `O_*` and `O_CLOEXEC`.
    pub flags: i32,
    /// A lock or lease is held through it.
    pub locked: bool,
}

/// Reads the text of fdinfo (Documentation/filesystems/proc.rst, 3.8).
pub fn parse_fdinfo(text: &str) -> Option<FdInfo> {
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    Some(FdInfo {
        pos: field("pos:")?.parse().ok()?,
        flags: i32::from_str_radix(field("flags:")?, 8).ok()?,
        locked: field("lock:").is_some(),
    })
}

/// Process, descriptor, index of the description.
type Seen = (i32, i32, usize);

/// The open file descriptions met so far, each once.
#[derive(Default)]
pub struct Files {
    all: Vec<OpenFile>,
    /// A descriptor of each that is in a table, by inode, to compare others with. Flags and position tell nothing: a process outside that
    /// shares the description may change them meanwhile.
    seen: HashMap<usize, Vec<Seen>>,
    opened: HashMap<(usize, i32), usize>,
    /// What processes outside may have, too, and would share a position or a pipe's bytes with.
    shown: Vec<Shown>,
    /// Who is told of I/O by which descriptor, and whether that is of a directory.
    owned: Vec<(i32, i32, FileOwner, bool)>,
    /// Descriptions of pipes and FIFOs, by inode.
    ends: HashMap<usize, Vec<End>>,
}

impl Files {
    /// Finds or adds the open file description behind descriptor `fd` of process `pid`.
    ///
    /// # Errors
    /// *unsupported* with pid, fd and kind.
    pub fn add_fd(
        &mut self,
        pidfd: BorrowedFd<'_>,
        pid: i32,
        fd: i32,
        inodes: &mut Inodes,
        copying: &mut Copying,
    ) -> Result<Fd> {
        let who = format!("pid {pid}: fd {fd}");
        let link = format!("/proc/{pid}/fd/{fd}");
        let inode =
            inodes.add(&Found { link: Path::new(&link), who: &who, fd: Some((pidfd, fd)) }, copying)?;
        let path = format!("/proc/{pid}/fdinfo/{fd}");
        let text = read_short(&path).context(|| format!("read {path}"))?;
        let info = parse_fdinfo(&String::from_utf8_lossy(&text))
            .ok_or_else(|| Error::unsupported(format!("{who}: cannot read {path}")))?;
        if info.locked {
            return Err(Error::unsupported(Problem::of(
                format!("{who} ({})", inodes.get(inode).path),
                " holds a file lock or lease; let it release that first",
            )));
        }
        let unnamed = if info.flags & O_TMPFILE_BIT != 0 { libc::O_TMPFILE } else { 0 };
        let flags = info.flags & !(libc::O_CLOEXEC | unnamed);
        let cloexec = info.flags & libc::O_CLOEXEC != 0;
        // Sorted by the kernel's own order of the objects.
        let same = self.seen.entry(inode).or_default();
        let (mut low, mut high) = (0, same.len());
        while low < high {
            let middle = low.midpoint(high);
            let (other_pid, other_fd, file) = same[middle];
            let order =
                kcmp::kcmp(other_pid, pid, kcmp::Kind::File, other_fd as u64, fd as u64).context(|| {
                    format!("{who}: compare with fd {other_fd} of {other_pid} (needs CONFIG_KCMP)")
                })?;
            match order {
                Ordering::Equal => return Ok(Fd { fd, file, cloexec }),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        let file = self.all.len();
        same.insert(low, (pid, fd, file));
        let dup = task::borrow_fd(pidfd, fd).context(|| format!("{who}: duplicate"))?;
        let owner = if flags & libc::O_PATH == 0 { owner(&dup, &who)? } else { None };
        self.all.push(OpenFile { inode, flags, offset: info.pos, owner });
        let kind = &inodes.get(inode).kind;
        let is_pipe = matches!(kind, InodeKind::Pipe(_) | InodeKind::Fifo(_));
        if let Some(owner) = owner {
            self.owned.push((pid, fd, owner, *kind == InodeKind::Directory));
        }
        let has_position = matches!(kind, InodeKind::Regular | InodeKind::Directory) && !only_appends(flags);
        if (is_pipe || has_position) && flags & libc::O_PATH == 0 {
            self.shown.push(Shown { link: inodes.link(inode).to_vec(), at: (pid, fd) });
        }
        if is_pipe && flags & libc::O_PATH == 0 {
            self.ends.entry(inode).or_default().push(End { pid, fd, flags });
        }
        Ok(Fd { fd, file, cloexec })
    }

    /// Who is told of I/O, and is not among those that are saved; and notifications of directories, which show by their owner alone
    /// (fs/notify/dnotify/dnotify.c, `fcntl_dirnotify`). `inside`: threads, processes and groups.
    pub fn refuse_owners(&self, inside: &HashSet<i32>, problems: &mut Problems) {
        for (pid, fd, owner, is_directory) in &self.owned {
            let id = owner.id;
            if *is_directory {
                problems.push(Problem::of(
                    format!("pid {pid}: fd {fd}"),
                    " is a directory that tells of changes in it (F_NOTIFY); let it be closed first",
                ));
            } else if id != 0 && !inside.contains(&id) {
                problems.push(Problem::of(
                    format!("pid {pid}: fd {fd}"),
                    format!(" has an owner outside, who is told of I/O (F_SETOWN): {id}; save a tree that has both, or take the owner away (F_SETOWN 0)"),
                ));
            }
        }
    }

    /// What processes outside may have, too.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// A description that is in no table: of a mapping, an executable, a directory in use.
    pub fn add_opened(&mut self, inode: usize, flags: i32) -> usize {
        *self.opened.entry((inode, flags)).or_insert_with(|| {
            self.all.push(OpenFile { inode, flags, offset: 0, owner: None });
            self.all.len() - 1
        })
    }

    /// Captures the pipes whose ends were met.
    ///
    /// # Errors
    /// *unsupported* for a pipe with an end outside the tree.
    pub fn capture_pipes(&mut self, inodes: &mut Inodes) -> Result<(), Vec<Error>> {
        let mut errors = Vec::new();
        for (inode, ends) in std::mem::take(&mut self.ends) {
            match capture_pipe(&ends) {
                Ok(state) => match &mut inodes.get_mut(inode).kind {
                    InodeKind::Pipe(pipe) | InodeKind::Fifo(pipe) => *pipe = state,
                    other => unreachable!("pipe ends of {other:?}"),
                },
                Err(err) => errors.push(err),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The table for the records.
    pub fn finish(self) -> Vec<OpenFile> {
        self.all
    }
}

/// Whoever appends, and does not read, has no use for the position: two such descriptions do what one does.
fn only_appends(flags: i32) -> bool {
    flags & libc::O_APPEND != 0 && flags & libc::O_ACCMODE == libc::O_WRONLY
}

/// An end of a pipe, or of a FIFO: a descriptor of some process.
struct End {
    pid: i32,
    fd: i32,
    flags: i32,
}

impl End {
    fn reads(&self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_WRONLY
    }

    fn writes(&self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_RDONLY
    }

    /// A duplicate of our own.
    fn borrow(&self) -> Result<OwnedFd> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let End { pid, fd, .. } = self;
        let what = || format!("pid {pid}: fd {fd}: duplicate");
        let pidfd = pidfd_open(Pid::from_raw(*pid).expect("positive"), PidfdFlags::empty()).context(what)?;
        task::borrow_fd(pidfd.as_fd(), *fd).context(what)
    }
}

fn capture_pipe(ends: &[End]) -> Result<Pipe> {
    let (reader, writer) = (ends.iter().find(|end| end.reads()), ends.iter().find(|end| end.writes()));
    let packets = ends.iter().any(|end| end.writes() && end.flags & libc::O_DIRECT != 0);
    let alone = match (reader, writer) {
        (Some(_), Some(_)) => None,
        (Some(end), None) => Some((end, "a pipe that a process outside writes to")),
        (None, Some(end)) => Some((end, "a pipe that a process outside reads from")),
        (None, None) => unreachable!("a pipe was met by one of its ends"),
    };
    let mut never_written = false;
    if let Some((end, what)) = alone {
        match pipe::other_side(end.borrow()?.as_fd())? {
            OtherSide::Closed => {}
            OtherSide::NeverOpen => never_written = true,
            OtherSide::Open => {
                let End { pid, fd, .. } = end;
                return Err(Error::unsupported(Problem::of(
                    format!("pid {pid}: fd {fd}"),
                    format!(
                        " is {what}: save a tree that has both, or start the job with files in place of it"
                    ),
                )));
            }
        }
    }
    match (reader, writer) {
        (Some(reader), _) => Ok(Pipe { never_written, ..pipe::capture(reader.borrow()?.as_fd(), packets)? }),
        (None, Some(writer)) => {
            // Nobody can read it but through /proc: what is inside is still there.
            let writer = writer.borrow()?;
            let link = format!("/proc/self/fd/{}", writer.as_raw_fd());
            let flags =
                rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
            let reader = rustix::fs::open(&link, flags, rustix::fs::Mode::empty())
                .context(|| "open read end of pipe")?;
            pipe::capture(reader.as_fd(), packets)
        }
        (None, None) => unreachable!("a pipe was met by one of its ends"),
    }
}

fn owner(fd: &OwnedFd, who: &str) -> Result<Option<FileOwner>> {
    let (kind, id) = crate::sys::file::owner(fd.as_fd()).context(|| format!("{who}: read owner"))?;
    let signal = crate::sys::file::signal(fd.as_fd()).context(|| format!("{who}: read signal"))?;
    Ok((id != 0 || signal != 0).then_some(FileOwner { kind, id, signal }))
}

/// The descriptors of a process, by number.
///
/// # Errors
/// *vanished*
pub fn numbers(pid: i32) -> Result<Vec<i32>> {
    let dir = format!("/proc/{pid}/fd");
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(&dir).context(|| format!("read {dir}"))? {
        let name = entry.context(|| format!("read {dir}"))?.file_name();
        let number = name.to_str().and_then(|n| n.parse().ok());
        numbers.push(number.ok_or_else(|| Error::unsupported(format!("{dir}: odd entry {name:?}")))?);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Numbers at which the engine has what every newborn inherits.
#[derive(Debug)]
pub struct Slots {
    /// In use in some table.
    wanted: HashSet<i32>,
    next: i32,
    /// One past the highest that was chosen.
    end: i32,
}

impl Slots {
    /// Those from `first` on.
    pub fn new<'a>(tables: impl Iterator<Item = &'a [Fd]>, first: i32) -> Self {
        Slots { wanted: tables.flatten().map(|fd| fd.fd).collect(), next: first, end: first }
    }

    /// The lowest number that nobody wants and that was not chosen yet. A table may have its highest numbers just below the hard limit, above
    /// which there are none: those in between come first.
    pub fn free(&mut self) -> i32 {
        while self.wanted.contains(&self.next) {
            self.next += 1;
        }
        self.next += 1;
        self.end = self.end.max(self.next);
        self.next - 1
    }

    /// Chooses one for every open file. Where some process wants it at a number from the first on, that is its slot, so that a table of any
    /// size needs hardly more numbers than it has; else it is a free one.
    pub fn of_files<'a>(&mut self, files: usize, tables: impl Iterator<Item = &'a [Fd]>) -> Vec<i32> {
        let first = self.next;
        let mut slots = vec![None; files];
        let mut taken = HashSet::new();
        for fd in tables.flatten() {
            if fd.fd >= first && slots[fd.file].is_none() && taken.insert(fd.fd) {
                slots[fd.file] = Some(fd.fd);
                self.end = self.end.max(fd.fd + 1);
            }
        }
        slots.into_iter().map(|slot| slot.unwrap_or_else(|| self.free())).collect()
    }

    /// One past the highest that was chosen.
    pub fn end(&self) -> i32 {
        self.end
    }
}

/// Arranges the descriptor table: everything from its slot to its number, everything else closed. A number that is another file's slot is
/// overwritten when that file is in its place; where they wait for each other in a circle, one goes by way of `spare`.
pub fn rebuild_table(fds: &[Fd], slots: &[i32], spare: i32, program: &mut Program) {
    let in_place = |fd: &&Fd| slots[fd.file] == fd.fd;
    for fd in fds.iter().filter(in_place).filter(|fd| !fd.cloexec) {
        let args: [Arg; 3] = [fd.fd.into(), libc::F_SETFD.into(), Arg::Imm(0)];
        program.must(libc::SYS_fcntl, &args, format!("keep fd {} on exec", fd.fd));
    }
    // Moves that are still to come, by number, and how many of them need what is at a number.
    let mut moves: BTreeMap<i32, (&Fd, i32)> =
        fds.iter().filter(|fd| !in_place(fd)).map(|fd| (fd.fd, (fd, slots[fd.file]))).collect();
    let mut needs: HashMap<i32, usize> = HashMap::new();
    moves.values().for_each(|(_, from)| *needs.entry(*from).or_default() += 1);
    let mut ready: Vec<i32> = moves.keys().rev().copied().filter(|fd| !needs.contains_key(fd)).collect();
    loop {
        while let Some(number) = ready.pop() {
            let Some((fd, from)) = moves.remove(&number) else { continue };
            let flags = if fd.cloexec { libc::O_CLOEXEC } else { 0 };
            let args: [Arg; 3] = [from.into(), number.into(), flags.into()];
            program.equal(libc::SYS_dup3, &args, number as u64, format!("place fd {number}"));
            let left = needs.get_mut(&from).expect("it was counted");
            *left -= 1;
            if *left == 0 {
                needs.remove(&from);
                ready.push(from);
            }
        }
        let Some(number) = moves.keys().next().copied() else { break };
        let args: [Arg; 3] = [number.into(), spare.into(), Arg::Imm(0)];
        program.equal(libc::SYS_dup3, &args, spare as u64, format!("make room at fd {number}"));
        let waiting = needs.remove(&number).expect("else it would have been ready");
        needs.insert(spare, waiting);
        moves.values_mut().filter(|(_, from)| *from == number).for_each(|(_, from)| *from = spare);
        ready.push(number);
    }
    let mut next = 0;
    for fd in fds {
        close_range(next, fd.fd - 1, program);
        next = fd.fd + 1;
    }
    close_range(next, i32::MAX, program);
}

fn close_range(first: i32, last: i32, program: &mut Program) {
    if first <= last {
        let what = format!("close fds {first} to {last}");
        program.must(libc::SYS_close_range, &[first.into(), last.into(), Arg::Imm(0)], what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fdinfo_is_read() {
        let text = "pos:\t12\nflags:\t02100002\nmnt_id:\t30\nino:\t5\n";
        let info = parse_fdinfo(text).unwrap();
        assert_eq!(info, FdInfo { pos: 12, flags: 0o2100002, locked: false });
        let locked = format!("{text}lock:\t1: FLOCK  ADVISORY  WRITE 2 00:01:5 0 EOF\n");
        assert!(parse_fdinfo(&locked).unwrap().locked);
        assert_eq!(parse_fdinfo("pos:\tx\n"), None);
    }

    /// As somebody outside who has the same description may do in the middle of a look.
    #[test]
    fn a_position_that_moves_meanwhile_does_not_split_a_description() {
        use rustix::process::{PidfdFlags, getpid, pidfd_open};
        use std::io::{Seek, SeekFrom};
        let dir = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create_new(dir.path().join("log")).unwrap();
        let (copy, other) = (file.try_clone().unwrap(), std::fs::File::open(dir.path().join("log")).unwrap());
        let pid = std::process::id() as i32;
        let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let (mut files, mut inodes, mut copying) = (Files::default(), Inodes::default(), Copying::default());
        let mut add = |fd: &dyn AsRawFd| {
            files.add_fd(pidfd.as_fd(), pid, fd.as_raw_fd(), &mut inodes, &mut copying).unwrap().file
        };
        let first = add(&file);
        file.seek(SeekFrom::Start(17)).unwrap();
        rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::APPEND).unwrap();
        assert_eq!(add(&copy), first);
        assert_ne!(add(&other), first);
        assert_eq!(add(&file), first);
    }

    #[test]
    fn a_table_with_gaps_is_closed_around_its_descriptors() {
        let fd = |fd, file| Fd { fd, file, cloexec: fd == 5 };
        let mut program = Program::new();
        rebuild_table(&[fd(0, 0), fd(1, 0), fd(5, 1)], &[100, 101], 102, &mut program);
        let what: Vec<_> = program.calls().iter().map(|c| c.what.as_str()).collect();
        let want =
            ["place fd 0", "place fd 1", "place fd 5", "close fds 2 to 4", "close fds 6 to 2147483647"];
        assert_eq!(what, want);
    }

    /// Carries the calls out on a table of (file, close on exec).
    fn play(program: &Program, table: &mut BTreeMap<i32, (usize, bool)>) {
        let imm = |arg: Arg| match arg {
            Arg::Imm(value) => value as i32,
            other => panic!("{other:?}"),
        };
        for call in program.calls() {
            let args = call.args.map(imm);
            match call.nr {
                libc::SYS_dup3 => {
                    assert_ne!(args[0], args[1], "dup3 onto itself is EINVAL");
                    let (file, _) = table[&args[0]];
                    table.insert(args[1], (file, args[2] & libc::O_CLOEXEC != 0));
                }
                libc::SYS_fcntl => table.get_mut(&args[0]).expect("it is open").1 = args[2] != 0,
                libc::SYS_close_range => table.retain(|fd, _| !(args[0]..=args[1]).contains(fd)),
                other => panic!("call {other}"),
            }
        }
    }

    proptest! {
        #[test]
        fn every_table_comes_out_as_it_was(
            tables in prop::collection::vec(prop::collection::btree_map(0i32..40, (0usize..12, any::<bool>()), 0..20), 1..4),
            first in 1i32..30,
        ) {
            let to_fd = |(fd, (file, cloexec)): (&i32, &(usize, bool))| Fd { fd: *fd, file: *file, cloexec: *cloexec };
            let fds: Vec<Vec<Fd>> = tables.iter().map(|table| table.iter().map(to_fd).collect()).collect();
            let tables_of = || fds.iter().map(Vec::as_slice);
            let mut choice = Slots::new(tables_of(), first);
            let slots = choice.of_files(12, tables_of());
            let spare = choice.free();
            prop_assert_eq!(slots.iter().chain([&spare]).collect::<HashSet<_>>().len(), slots.len() + 1);
            prop_assert!(slots.iter().chain([&spare]).all(|slot| (first..choice.end()).contains(slot)));
            // Gaps are used before numbers above.
            let highest = fds.iter().flatten().map(|fd| fd.fd + 1).max().unwrap_or(0);
            let numbers: HashSet<i32> = fds.iter().flatten().map(|fd| fd.fd).collect();
            let gaps = (first..highest).filter(|number| !numbers.contains(number)).count() as i32;
            prop_assert!(choice.end() <= highest.max(first) + (13 - gaps).max(0));
            for (table, fds) in tables.iter().zip(&fds) {
                let mut now: BTreeMap<i32, (usize, bool)> = slots.iter().enumerate().map(|(file, slot)| (*slot, (file, true))).collect();
                now.insert(0, (99, false)); // the engine's own
                let mut program = Program::new();
                rebuild_table(fds, &slots, spare, &mut program);
                play(&program, &mut now);
                prop_assert_eq!(&now, table);
            }
        }
    }
}
