//! Captures the mappings of an address space from /proc/PID/smaps.

use super::attachment::attachments;
use super::dump::DumpPlan;
use super::shared::SharedObjects;
use super::vma::{Backing, Vma, VmaFlag};
use crate::error::{Context, Error, Part, Problem, Problems, Result, Subject};
use crate::proc::smaps::{self, VmFlags};
use crate::resource::bytes::PathBytes;
use crate::resource::fd::description::Files;
use crate::resource::fd::inode::{Found, Inodes};
use crate::resource::fd::io_uring;
use crate::resource::ipc::segment;
use crate::sys::task::Seen;
use crate::sys::{page_size, task_size};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd;
use std::path::Path;

/// Tables shared by the mappings, descriptors and directories of all processes.
#[derive(Default)]
pub struct Tables {
    /// Memory and files to copy.
    pub dump_plan: DumpPlan,
    /// Inodes in use.
    pub inodes: Inodes,
    /// Open file descriptions.
    pub files: Files,
    /// Shared memory.
    pub shared: SharedObjects,
    /// Inodes and descriptors of the io_urings of those processes that were looked at for them.
    pub rings: HashMap<i32, Vec<(u64, i32)>>,
}

impl Tables {
    /// The io_urings on this inode of which a process has descriptors: open file descriptions.
    fn rings_on(&mut self, inode: u64, process: Seen) -> Result<BTreeSet<usize>> {
        let known = match self.rings.entry(process.pid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(room) => {
                let all = io_uring::descriptors_of(process)?;
                let all = all.iter().map(|ring| Ok((ring.inode()?, ring.fd)));
                room.insert(all.collect::<Result<_>>()?)
            }
        };
        let mut found = BTreeSet::new();
        for (_, fd) in known.iter().filter(|(on, _)| *on == inode) {
            let pidfd = process.pidfd().context(|| format!("open pidfd of {}", process.pid))?;
            let (inodes, plan) = (&mut self.inodes, &mut self.dump_plan);
            found.insert(self.files.add_fd(pidfd.as_fd(), process, *fd, inodes, plan)?.file);
        }
        Ok(found)
    }
}

/// The mappings of a process, and why some of them cannot be saved.
#[derive(Default)]
pub struct Mappings {
    /// Mappings, sorted, and whether each may have populated pages.
    pub vmas: Vec<(Vma, bool)>,
    /// Reasons to refuse.
    pub problems: Problems,
}

/// Reads the mappings of a stopped process.
///
/// # Errors
/// *vanished*, *denied*; what cannot be saved is listed in the result instead.
pub fn capture(process: Seen, tables: &mut Tables) -> Result<Mappings> {
    let pid = process.pid;
    let path = format!("/proc/{}/smaps", process.by);
    let text = std::fs::read(&path).context(|| format!("read {path}"))?;
    let all = smaps::parse(&text).map_err(|err| Error::unsupported(format!("pid {pid}: {err}")))?;
    let mut found = Mappings::default();
    // A file may have many mappings; identify it only once.
    let mut known: HashMap<(Vec<u8>, u64, bool), usize> = HashMap::new();
    for vma in &all {
        if vma.path.as_deref() == Some(b"[vsyscall]") {
            continue; // the same in every process
        }
        match backing(process, vma, tables, &mut known) {
            Ok(backing) => match describe(vma, backing) {
                Ok(record) => found.vmas.push((record, vma.rss + vma.swap + vma.hugetlb > 0)),
                Err(why) => {
                    let at = subject(pid, vma);
                    found.problems.push(Problem::of(at, format!(": {why}{UNMAP}")));
                }
            },
            Err(Error::Unsupported(why)) => found.problems.extend(why),
            Err(other) => return Err(other),
        }
    }
    let vmas = found.vmas.iter().map(|(vma, _)| vma);
    if let Err(part) = attachments(vmas, |object| tables.shared.whole_size(object), task_size()) {
        let why = format!(
            ": a part of System V shared memory that was moved, or over which something else was mapped: where it is, the whole has no room{UNMAP}"
        );
        found.problems.push(Problem::of(Subject::part(pid, Part::Mapping(part)), why));
    }
    Ok(found)
}

/// What the user can do about a mapping.
const UNMAP: &str = "; unmap it first";

fn subject(pid: i32, vma: &smaps::Vma) -> Subject {
    let mapping = Subject::part(pid, Part::Mapping(vma.start..vma.end));
    match &vma.path {
        Some(path) => mapping.leading_to(PathBytes(path.clone())),
        None => mapping,
    }
}

fn backing(
    process: Seen,
    vma: &smaps::Vma,
    tables: &mut Tables,
    known: &mut HashMap<(Vec<u8>, u64, bool), usize>,
) -> Result<Backing> {
    let who = subject(process.pid, vma);
    let refuse = |what: &str| Err(Error::unsupported(Problem::of(who.clone(), format!(": {what}{UNMAP}"))));
    let link = format!("/proc/{}/map_files/{:x}-{:x}", process.by, vma.start, vma.end);
    let link = Path::new(&link);
    let huge = vma.flags.contains(VmFlags::HUGETLB);
    let page = if huge { vma.kernel_page_size } else { page_size() };
    let path = vma.path.as_deref().unwrap_or_default();
    if let Some(key) = segment::key_of(path) {
        let found = tables.shared.add_segment((link, key), &who, page, &mut tables.dump_plan)?;
        match found {
            Some(_) if !vma.shared => return refuse("a private mapping of System V shared memory"),
            Some(object) => {
                let read_only = !vma.flags.contains(VmFlags::MAY_WRITE);
                return Ok(Backing::Segment { object, offset: vma.offset, read_only });
            }
            None => {}
        }
    }
    if let Some(special) = vma.special() {
        if vma.shared {
            let object = tables.shared.add(link, page, &mut tables.dump_plan)?;
            return Ok(Backing::Shared { object, offset: vma.offset, private: false });
        }
        return match special {
            b"heap" | b"stack" => Ok(Backing::Anonymous { name: None }),
            name if name.starts_with(b"anon:") => {
                Ok(Backing::Anonymous { name: Some(PathBytes(name[b"anon:".len()..].to_vec())) })
            }
            name if name == b"vdso" || name.starts_with(b"vvar") => {
                Ok(Backing::Special { name: String::from_utf8_lossy(path).into_owned() })
            }
            _ => refuse("an unknown special mapping"),
        };
    }
    match path {
        b"" => return Ok(Backing::Anonymous { name: None }),
        // The file behind private huge pages has no blocks of its own.
        b"/anon_hugepage (deleted)" if !vma.shared && pages_of(link)? == 0 => {
            return Ok(Backing::HugeAnonymous { page });
        }
        b"/anon_hugepage (deleted)" | b"/dev/zero (deleted)" => {
            let object = tables.shared.add(link, page, &mut tables.dump_plan)?;
            return Ok(Backing::Shared { object, offset: vma.offset, private: !vma.shared });
        }
        b"/dev/zero" if !vma.shared => return Ok(Backing::Anonymous { name: None }),
        io_uring::NAME => return ring(process, vma, &who, tables),
        path if path.starts_with(b"/[aio]") => {
            let why = ": an asynchronous I/O context, and the kernel does not show whether requests are in flight; destroy it first (io_destroy(2))";
            return Err(Error::unsupported(Problem::of(who, why)));
        }
        path if path.starts_with(b"/secretmem") => return refuse("secret memory (memfd_secret)"),
        path if !path.starts_with(b"/") => return refuse("not a file"),
        _ => {}
    }
    if huge && vma.is_deleted() {
        return refuse("an unlinked file of hugetlbfs, or a memfd in huge pages");
    }
    // A shared mapping of a file opened for writing may be made writable at any time.
    let writable = vma.shared && vma.flags.contains(VmFlags::MAY_WRITE);
    let key = (path.to_vec(), vma.inode, writable);
    if let Some(file) = known.get(&key) {
        return Ok(Backing::File { file: *file, offset: vma.offset, shared: vma.shared });
    }
    let found = Found { link, who: &who, fd: None, job: None };
    let flags = if writable { libc::O_RDWR } else { libc::O_RDONLY };
    let file = tables.files.add_found(&found, flags, &mut tables.inodes, &mut tables.dump_plan)?;
    known.insert(key, file);
    Ok(Backing::File { file, offset: vma.offset, shared: vma.shared })
}

/// A mapping of an io_uring: of the ring on the same inode, of which a process of the job has a
/// descriptor. Each has its own since Linux 5.16 (`io_uring_get_file`); before, all anonymous
/// inodes are one, and several rings look the same.
fn ring(process: Seen, vma: &smaps::Vma, who: &Subject, tables: &mut Tables) -> Result<Backing> {
    let refuse = |what: &str| Err(Error::unsupported(Problem::of(who.clone(), format!(": {what}"))));
    if !io_uring::BEGINNINGS.contains(&vma.offset) {
        return refuse("a part of an io_uring; unmap it first");
    }
    let mut rings = tables.rings_on(vma.inode, process)?;
    // A child has its parent's mapping, and may have closed the descriptor.
    if rings.is_empty() && io_uring::has_own_inode(vma.inode)? {
        for other in tables.files.processes().to_vec() {
            rings.extend(tables.rings_on(vma.inode, other)?);
            if !rings.is_empty() {
                break;
            }
        }
    }
    match (rings.first(), rings.len()) {
        (Some(file), 1) => Ok(Backing::File { file: *file, offset: vma.offset, shared: true }),
        (None, _) => refuse("an io_uring without a descriptor; unmap it first"),
        _ => refuse("one of several io_urings, and the kernel does not show which; close all but one"),
    }
}

/// Blocks that a mapped file occupies, in units of 512 bytes.
fn pages_of(link: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(link).map(|meta| meta.blocks()).context(|| format!("stat {}", link.display()))
}

/// VmFlags that follow from other attributes of a mapping.
const DERIVED: VmFlags = VmFlags::READ
    .union(VmFlags::WRITE)
    .union(VmFlags::EXEC)
    .union(VmFlags::SHARED)
    .union(VmFlags::MAY_READ)
    .union(VmFlags::MAY_WRITE)
    .union(VmFlags::MAY_EXEC)
    .union(VmFlags::MAY_SHARE)
    .union(VmFlags::DENY_WRITE)
    .union(VmFlags::DONT_EXPAND)
    .union(VmFlags::HUGETLB)
    .union(VmFlags::SOFT_DIRTY)
    .union(VmFlags::MAYBE_GUARD);

const KEPT: &[(VmFlags, VmaFlag)] = &[
    (VmFlags::GROWS_DOWN, VmaFlag::GrowsDown),
    (VmFlags::NO_RESERVE, VmaFlag::NoReserve),
    (VmFlags::ACCOUNT, VmaFlag::Accounted),
    (VmFlags::DROPPABLE, VmaFlag::Droppable),
    (VmFlags::SEQ_READ, VmaFlag::Sequential),
    (VmFlags::RAND_READ, VmaFlag::Random),
    (VmFlags::DONT_COPY, VmaFlag::DontCopy),
    (VmFlags::WIPE_ON_FORK, VmaFlag::WipeOnFork),
    (VmFlags::DONT_DUMP, VmaFlag::DontDump),
    (VmFlags::MERGEABLE, VmaFlag::Mergeable),
    (VmFlags::HUGE_PAGE, VmaFlag::HugePage),
    (VmFlags::NO_HUGE_PAGE, VmaFlag::NoHugePage),
    (VmFlags::LOCKED, VmaFlag::Locked),
    (VmFlags::LOCK_ON_FAULT, VmaFlag::LockedOnFault),
    (VmFlags::SEALED, VmaFlag::Sealed),
    (VmFlags::BTI, VmaFlag::BranchTargets),
    (VmFlags::MTE, VmaFlag::Tagged),
];

fn describe(vma: &smaps::Vma, backing: Backing) -> Result<Vma, String> {
    let bit = |on: bool, prot: i32| if on { prot } else { 0 };
    let prot =
        bit(vma.read, libc::PROT_READ) | bit(vma.write, libc::PROT_WRITE) | bit(vma.exec, libc::PROT_EXEC);
    let mut record = Vma {
        start: vma.start,
        end: vma.end,
        prot,
        backing,
        flags: Vec::new(),
        guards: Vec::new(),
        pkey: vma.protection_key.unwrap_or(0),
        policy: None,
    };
    if matches!(record.backing, Backing::Special { .. }) {
        return Ok(record);
    }
    let mut rest = vma.flags - DERIVED;
    for (theirs, ours) in KEPT {
        if rest.contains(*theirs) {
            record.flags.push(*ours);
            rest -= *theirs;
        }
    }
    if vma.path.as_deref() == Some(io_uring::NAME) {
        // Set by `io_uring_mmap`, io_uring/memmap.c; before Linux 6.10 also VM_PAT, by
        // `track_pfn_remap`.
        rest -= VmFlags::IO | VmFlags::PFN_MAP | VmFlags::MIXED_MAP | VmFlags::ARCH_1;
    }
    record.flags.sort_unstable();
    // Before Linux 6.11 the flag of MLOCK_ONFAULT has no name; it is the only nameless one that
    // occurs with a lock (fs/proc/task_mmu.c, `show_smap_vma_flags`).
    let locked_on_fault = record.flags.contains(&VmaFlag::Locked) && vma.unknown == ["??"];
    if locked_on_fault {
        record.flags.push(VmaFlag::LockedOnFault);
        record.flags.sort_unstable();
    } else if !vma.unknown.is_empty() {
        return Err(format!("unknown flags: {}", vma.unknown.join(" ")));
    }
    let can_be_tagged = matches!(record.backing, Backing::Anonymous { .. } | Backing::Shared { .. });
    if record.flags.contains(&VmaFlag::Tagged) && !can_be_tagged {
        return Err("memory tags of a file or of huge pages".into());
    }
    if !rest.is_empty() {
        let names: Vec<_> = rest.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        return Err(format!("cannot be saved: {}", names.join(" ")));
    }
    Ok(record)
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
