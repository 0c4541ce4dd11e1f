//! Checks that records are consistent: every index is in range, every number is one that the kernel
//! could have assigned. Context files are untrusted, and a checksum does not change that; nothing
//! is planned, allocated or opened before this.

use super::Records;
use super::fd::description::OpenFile;
use super::fd::inode::Inode;
use super::fd::lock::FileLock;
use super::fd::{Identity, Reference};
use super::mm::attachment::attachments;
use super::mm::shared::SharedMemory;
use super::mm::vma::Backing;
use super::mm::{Memory, Range};
use super::process::{Alive, Life, Process, RLIMITS, State};
use super::signal::Pending;
use super::thread::Thread;
use super::thread::seccomp::{Filter, Seccomp};
use crate::image::Extent;
use std::collections::HashSet;

/// Limits for the records.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Page size in bytes.
    pub page: u64,
    /// One past the highest user address.
    pub task_size: u64,
    /// Range of offsets of page data in the context file.
    pub data: Range,
}

type Check = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(what()) }
}

/// Highest signal number (`_NSIG`).
const SIGNALS: i32 = 64;
/// include/linux/limits.h, `NGROUPS_MAX`.
const GROUPS: usize = 65536;
/// Limit of descriptor numbers (fs/file.c, `sysctl_nr_open_max`).
const DESCRIPTORS: i32 = 1 << 30;
/// Flags of open(2) that are actions and no state of an open file.
const ACTING: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC;

/// Checks the records.
///
/// # Errors
/// What is wrong, with pid or index.
pub fn check(records: &Records, bounds: &Bounds) -> Check {
    let Records { root, processes, files, inodes, shared, sysv, cgroups, .. } = records;
    let mut ids = HashSet::new();
    for process in processes {
        ensure(process.pid > 0 && ids.insert(process.pid), || {
            format!("pid {}: invalid or duplicate process id", process.pid)
        })?;
    }
    ensure(ids.contains(root), || format!("pid {root}: the root process is missing"))?;
    for (index, object) in shared.iter().enumerate() {
        check_object(object, bounds).map_err(|why| format!("shared memory {index}: {why}"))?;
    }
    for (index, by_id) in sysv.iter().enumerate() {
        by_id.object().check().map_err(|why| format!("System V object {index}: {why}"))?;
    }
    for (index, group) in cgroups.iter().enumerate() {
        group.validate().map_err(|why| format!("control group {index}: {why}"))?;
    }
    for process in processes {
        check_process(process, &ids)?;
        if let Life::Alive(alive) = &process.life {
            let rest = alive.threads.iter().skip(1).map(|thread| thread.tid);
            for tid in rest.collect::<Vec<_>>() {
                ensure(tid > 0 && !ids.contains(&tid), || {
                    format!("pid {}: invalid or duplicate thread id {tid}", process.pid)
                })?;
            }
            let groups = alive.threads.iter().filter_map(|thread| thread.cgroups.as_ref());
            let mut groups = groups.chain([&alive.cgroups]).flatten();
            ensure(groups.all(|group| *group < cgroups.len()), || {
                format!("pid {}: a control group is missing", process.pid)
            })?;
            check_alive(process.pid, alive, records, bounds)
                .map_err(|why| format!("pid {}: {why}", process.pid))?;
        }
    }
    let tids: Vec<i32> =
        records.alive().flat_map(|(_, alive)| alive.threads.iter().map(|thread| thread.tid)).collect();
    ensure(tids.iter().collect::<HashSet<_>>().len() == tids.len(), || "duplicate thread id".into())?;
    for (index, file) in files.iter().enumerate() {
        check_file(file, inodes).map_err(|why| format!("file {index}: {why}"))?;
    }
    let mut opened = vec![0usize; inodes.len()];
    files.iter().for_each(|file| opened[file.inode] += 1);
    let is_there = |reference: &Reference| match reference {
        Reference::Process(pid) => ids.contains(pid),
        Reference::Thread(tid) => tids.contains(tid),
        Reference::Group(pgid) => processes.iter().any(|process| process.pgid == *pgid),
        Reference::File(file) => *file < files.len(),
    };
    for (index, inode) in inodes.iter().enumerate() {
        let missing = inode.kind.verbs().refers_to().into_iter().find(|reference| !is_there(reference));
        ensure(missing.is_none(), || format!("inode {index}: {missing:?} is missing"))?;
        let alone = inode.kind.verbs().identity() != Identity::Description || opened[index] == 1;
        ensure(alone, || format!("inode {index}: {} open file descriptions", opened[index]))?;
        check_inode(inode, bounds).map_err(|why| format!("inode {index}: {why}"))?;
    }
    Ok(())
}

fn check_object(object: &SharedMemory, bounds: &Bounds) -> Check {
    let SharedMemory { size, page, content, segment } = object;
    let whole = page.is_power_of_two() && *page >= bounds.page && *size > 0;
    ensure(whole && *size < bounds.task_size, || "invalid size".into())?;
    check_extents(content, *size, bounds)?;
    segment.as_ref().map_or(Ok(()), |segment| segment.validate(*size, *page))
}

fn is_signal(signal: i32) -> bool {
    (1..=SIGNALS).contains(&signal)
}

fn check_process(process: &Process, ids: &HashSet<i32>) -> Check {
    let Process { pid, ppid, pgid, sid, exit_signal, life } = process;
    ensure(*ppid == 0 || ids.contains(ppid) && ppid != pid, || format!("pid {pid}: invalid parent {ppid}"))?;
    ensure(*pgid >= 0 && *sid >= 0, || format!("pid {pid}: invalid process group or session"))?;
    ensure((0..=SIGNALS).contains(exit_signal), || format!("pid {pid}: invalid exit signal {exit_signal}"))?;
    if let Life::Zombie(zombie) = life {
        let killed_by = zombie.status & 0x7f;
        let whole = (0..=0xffff).contains(&zombie.status) && (killed_by == 0 || is_signal(killed_by));
        ensure(whole, || format!("pid {pid}: invalid wait status {:#x}", zombie.status))?;
        check_name(&zombie.comm.0).map_err(|why| format!("pid {pid}: {why}"))?;
    }
    Ok(())
}

fn check_name(comm: &[u8]) -> Check {
    ensure(comm.len() < 16 && !comm.contains(&0), || "invalid name".into())
}

fn check_alive(pid: i32, alive: &Alive, records: &Records, bounds: &Bounds) -> Check {
    let file = |index: usize| index < records.files.len();
    ensure(!alive.threads.is_empty(), || "no threads".into())?;
    if let State::Stopped { signal, .. } = alive.state {
        ensure(is_signal(signal), || format!("invalid stop signal {signal}"))?;
    }
    alive.threads.iter().try_for_each(check_thread)?;
    alive.filters.iter().try_for_each(Filter::validate)?;
    let is_there = |thread: &Thread| match &thread.seccomp {
        Some(Seccomp::Filters(chain)) => {
            !chain.is_empty() && chain.iter().all(|filter| *filter < alive.filters.len())
        }
        Some(Seccomp::Strict) | None => true,
    };
    ensure(alive.threads.iter().all(is_there), || "a missing seccomp filter".into())?;
    let has_leader = alive.threads[0].tid == pid;
    ensure(has_leader == alive.leader.is_none(), || "the first thread is not the leader".into())?;
    if let Some(leader) = &alive.leader {
        ensure(leader.status & !0xff00 == 0, || {
            format!("invalid status of its leader {:#x}", leader.status)
        })?;
        ensure(alive.threads.iter().all(|thread| thread.tid != pid), || "two leaders".into())?;
        check_name(&leader.comm.0)?;
    }
    ensure(file(alive.cwd) && alive.root.is_none_or(file) && file(alive.memory.exe), || {
        "invalid directory or executable".into()
    })?;
    let is_earlier = |other: &i32, is_own: fn(&Alive) -> bool| {
        let mut earlier = records.alive().take_while(|(process, _)| process.pid != pid);
        earlier.any(|(process, alive)| process.pid == *other && is_own(alive))
    };
    let of_files = alive.files_of.is_none_or(|other| is_earlier(&other, |alive| alive.files_of.is_none()));
    ensure(of_files && (alive.files_of.is_none() || alive.fds.is_empty()), || {
        "invalid process that has its descriptor table, too".into()
    })?;
    let of_memory = alive.memory_of.is_none_or(|other| is_earlier(&other, |alive| alive.memory_of.is_none()));
    let is_empty =
        alive.memory.vmas.is_empty() && alive.memory.pages.is_empty() && alive.memory.tags.is_empty();
    ensure(of_memory && (alive.memory_of.is_none() || is_empty), || {
        "invalid process that has its memory, too".into()
    })?;
    let of_actions =
        alive.actions_of.is_none_or(|other| is_earlier(&other, |alive| alive.actions_of.is_none()));
    ensure(of_actions && (alive.actions_of.is_none() || alive.actions.is_empty()), || {
        "invalid process that has its signal actions, too".into()
    })?;
    let of_fs = alive.fs_of.is_none_or(|other| is_earlier(&other, |alive| alive.fs_of.is_none()));
    ensure(of_fs, || "invalid process that has its directories, too".into())?;
    let mut above = -1;
    for fd in &alive.fds {
        ensure(fd.fd > above && fd.fd < DESCRIPTORS && file(fd.file), || format!("invalid fd {}", fd.fd))?;
        above = fd.fd;
    }
    ensure(alive.actions.iter().all(|action| is_signal(action.signal)), || {
        "invalid signal in an action".into()
    })?;
    check_pending(&alive.pending)?;
    ensure(alive.posix_timers.iter().all(|timer| timer.id >= 0), || "invalid timer id".into())?;
    let ascending = alive.posix_timers.windows(2).all(|pair| pair[0].id < pair[1].id);
    ensure(ascending, || "timers out of order".into())?;
    ensure(alive.rlimits.len() <= RLIMITS as usize, || "too many resource limits".into())?;
    check_memory(&alive.memory, records, bounds)
}

fn check_thread(thread: &Thread) -> Check {
    let tid = thread.tid;
    let named = |why: String| format!("thread {tid}: {why}");
    check_name(&thread.comm.0).map_err(named)?;
    check_pending(&thread.pending).map_err(named)?;
    ensure(thread.creds.groups.len() <= GROUPS, || format!("thread {tid}: too many groups"))?;
    ensure(thread.affinity.0.len() <= 8192, || format!("thread {tid}: affinity mask too long"))?;
    ensure(thread.policy.as_ref().is_none_or(|policy| policy.nodes.0.len() <= 128), || {
        format!("thread {tid}: invalid memory policy")
    })
}

fn check_pending(pending: &[Pending]) -> Check {
    let whole = |p: &Pending| is_signal(p.signal) && p.siginfo.0.len() <= crate::sys::ptrace::SIGINFO_SIZE;
    ensure(pending.iter().all(whole), || "invalid pending signal".into())
}

fn check_memory(memory: &Memory, records: &Records, bounds: &Bounds) -> Check {
    let aligned = |at: u64| at.is_multiple_of(bounds.page);
    let mut end = 0;
    for vma in &memory.vmas {
        let what = || format!("invalid mapping {:#x}-{:#x}", vma.start, vma.end);
        let placed = vma.start >= end && vma.start < vma.end && vma.end <= bounds.task_size;
        ensure(placed && aligned(vma.start) && aligned(vma.end), what)?;
        end = vma.end;
        let backed = match &vma.backing {
            Backing::File { file, .. } => *file < records.files.len(),
            Backing::Shared { object, .. } => *object < records.shared.len(),
            Backing::Segment { object, .. } => {
                records.shared.get(*object).is_some_and(|object| object.segment.is_some())
            }
            Backing::HugeAnonymous { page } => page.is_power_of_two(),
            Backing::Anonymous { name } => name.as_ref().is_none_or(|name| !name.0.contains(&0)),
            Backing::Special { .. } => true,
        };
        let guarded = vma.guards.iter().all(|g| g.start < g.end && g.start >= vma.start && g.end <= vma.end);
        let policy = vma.policy.as_ref().is_none_or(|policy| policy.nodes.0.len() <= 128);
        ensure(backed && guarded && policy && vma.pkey < 32, what)?;
    }
    attachments(memory.vmas.iter(), |object| records.shared[object].whole_size(), bounds.task_size)
        .map_err(|part| format!("{:#x}-{:#x}: System V shared memory has no room", part.start, part.end))?;
    let mut end = 0;
    for extent in &memory.pages {
        let what = || format!("invalid pages at {:#x}", extent.start);
        check_data(extent, bounds).map_err(|_| what())?;
        let last = extent.start.checked_add(extent.len).ok_or_else(what)?;
        let at = memory.vmas.partition_point(|vma| vma.end <= extent.start);
        // An extent may continue in an adjacent mapping.
        let mut covered = extent.start;
        for vma in &memory.vmas[at..] {
            if vma.start > covered || covered >= last {
                break;
            }
            covered = vma.end;
        }
        ensure(extent.start >= end && aligned(extent.start) && covered >= last, what)?;
        end = last;
    }
    let tagged = |start: u64| aligned(start) && start < bounds.task_size;
    ensure(memory.tags.iter().all(|tags| tagged(tags.start)), || "invalid memory tags".into())
}

/// Checks that an extent is whole pages within the file.
fn check_data(extent: &Extent, bounds: &Bounds) -> Check {
    let end = extent.offset.checked_add(extent.len);
    let inside = extent.offset >= bounds.data.start && end.is_some_and(|end| end <= bounds.data.end);
    ensure(inside && extent.len > 0 && extent.len.is_multiple_of(bounds.page), || {
        "data outside the page section".into()
    })
}

/// Checks the contents of an object of `size` bytes.
fn check_extents(extents: &[Extent], size: u64, bounds: &Bounds) -> Check {
    let whole = size.checked_next_multiple_of(bounds.page).unwrap_or(0);
    extents.iter().try_for_each(|extent| {
        check_data(extent, bounds)?;
        let end = extent.start.checked_add(extent.len);
        let inside = end.is_some_and(|end| end <= whole) && extent.start.is_multiple_of(bounds.page);
        ensure(inside, || "contents past the end".into())
    })
}

fn check_file(file: &OpenFile, inodes: &[Inode]) -> Check {
    ensure(file.inode < inodes.len(), || "invalid inode".into())?;
    ensure(file.flags & ACTING == 0, || format!("flags {:#o} with side effects", file.flags))?;
    file.locks.iter().try_for_each(FileLock::validate)?;
    ensure(file.offset <= i64::MAX as u64, || "invalid file offset".into())?;
    let told =
        file.owner.is_none_or(|owner| (0..=2).contains(&owner.kind) && (0..=SIGNALS).contains(&owner.signal));
    ensure(told, || "invalid owner of async I/O".into())
}

fn check_inode(inode: &Inode, bounds: &Bounds) -> Check {
    let path = &inode.path.0;
    let named = inode.kind.verbs().identity() == Identity::Path;
    ensure(!path.contains(&0) && (!named || path.starts_with(b"/")), || "invalid path".into())?;
    ensure(path.split(|byte| *byte == b'/').all(|part| part != b".."), || "path contains ..".into())?;
    let verbs = inode.kind.verbs();
    verbs.validate()?;
    ensure(inode.unlinked.is_some() || !verbs.holds_content(), || "a file without its contents".into())?;
    if let Some(unlinked) = &inode.unlinked {
        let holds_content = named || verbs.holds_content();
        ensure(holds_content, || "unlinked, but of a kind without a path".into())?;
        ensure(unlinked.size <= i64::MAX as u64 && unlinked.mode <= 0o7777, || {
            "invalid size or mode".into()
        })?;
        check_extents(&unlinked.content, unlinked.size, bounds)?;
    }
    Ok(())
}
