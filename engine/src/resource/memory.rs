//! An address space: mappings, their pages, and the marks in `mm_struct`.

use super::bytes::{Bytes, PathBytes};
use super::membarrier::{self, Registrations};
use super::pages::Range;
use super::pkey::Keys;
use super::policy::Policy;
use super::tags::Tags;
use crate::arch;
use crate::error::{Context, Error, Result};
use crate::image::Extent;
use crate::proc::smaps::{self, VmFlags};
use crate::remote::{Arg, Program, Scratch, Stopped};
use crate::sys::RemoteAddr;
use serde::{Deserialize, Serialize};

/// What a mapping shows. Indices point into the tables of the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backing {
    /// Private anonymous memory, perhaps with a name (`PR_SET_VMA_ANON_NAME`).
    Anonymous {
        /// The name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<PathBytes>,
    },
    /// Private anonymous memory in huge pages of this many bytes (`MAP_HUGETLB`).
    HugeAnonymous {
        /// Bytes of a page.
        page: u64,
    },
    /// Shared anonymous memory, in pages of either kind.
    Shared {
        /// Index of the object.
        object: usize,
        /// Bytes from its start.
        offset: u64,
        /// Mapped `MAP_PRIVATE`, by way of /proc: pages that were written are the mapping's own.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        private: bool,
    },
    /// A file.
    File {
        /// Index of the file.
        file: usize,
        /// Bytes from its start.
        offset: u64,
        /// `MAP_SHARED`
        shared: bool,
    },
    /// The kernel's own: `[vdso]`, `[vvar]` …
    Special {
        /// As /proc/PID/maps prints it.
        name: String,
    },
}

/// What madvise(2), mlock2(2), mmap(2) and mseal(2) have set on a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum VmaFlag {
    GrowsDown,
    NoReserve,
    /// Counts against the commit limit: it is or was writable and private.
    Accounted,
    Droppable,
    Sequential,
    Random,
    DontCopy,
    WipeOnFork,
    DontDump,
    Mergeable,
    HugePage,
    NoHugePage,
    Locked,
    LockedOnFault,
    Sealed,
    /// Indirect branches must lead to a landing pad (`PROT_BTI`, arm64).
    BranchTargets,
    /// With memory tags (`PROT_MTE`, arm64).
    Tagged,
}

/// A mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vma {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// `PROT_*`
    pub prot: i32,
    /// What it shows.
    pub backing: Backing,
    /// Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<VmaFlag>,
    /// Guard pages, sorted, half-open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Range>,
    /// Protection key, 0 for none.
    #[serde(default)]
    pub pkey: u32,
    /// On which nodes its pages are to be, where that is not as its threads say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// The marks that prctl(2) `PR_SET_MM_MAP` sets, in the order of `struct prctl_mm_map`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Marks {
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_brk: u64,
    pub brk: u64,
    pub start_stack: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
}

/// mlockall(2) for mappings to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockFuture {
    /// `MCL_FUTURE`
    Now,
    /// `MCL_FUTURE | MCL_ONFAULT`
    OnFault,
}

/// An address space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Sorted, disjoint; neighbours that nothing tells apart are one.
    pub vmas: Vec<Vma>,
    /// Contents of private mappings, sorted.
    pub pages: Vec<Extent>,
    /// Code, data, heap, stack, arguments, environment.
    pub marks: Marks,
    /// The auxiliary vector.
    pub auxv: Bytes,
    /// The executable: index into the files.
    pub exe: usize,
    /// xxh3-64 of the vdso's code; nothing without a vdso.
    pub vdso: Option<u64>,
    /// For mappings to come.
    pub lock_future: Option<LockFuture>,
    /// What PR_GET_THP_DISABLE says: 0, or 1 with the flags that it was set with (`PR_THP_DISABLE_EXCEPT_ADVISED`, Linux 6.18).
    pub thp_disable: u32,
    /// `PR_SET_DUMPABLE`
    pub dumpable: i32,
    /// Allocated protection keys, bit n for key n.
    #[serde(default)]
    pub pkeys: u32,
    /// membarrier(2)
    #[serde(default)]
    pub membarrier: Registrations,
    /// `PR_SET_MDWE`, 0 for none.
    #[serde(default)]
    pub deny_write_execute: u32,
    /// `PR_SET_MEMORY_MERGE`
    #[serde(default)]
    pub merge: bool,
    /// Memory tags that are not 0, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tags>,
}

impl Vma {
    /// Whether `next` continues this mapping so that nothing tells them apart.
    pub fn joins(&self, next: &Vma) -> bool {
        let continues = match (&self.backing, &next.backing) {
            (Backing::Special { .. }, _) => false,
            (Backing::File { file, offset, shared }, Backing::File { file: f, offset: o, shared: s }) => {
                (file, shared) == (f, s) && offset + self.len() == *o
            }
            (
                Backing::Shared { object, offset, private },
                Backing::Shared { object: b, offset: o, private: p },
            ) => (object, private) == (b, p) && offset + self.len() == *o,
            (a, b) => a == b,
        };
        continues
            && self.end == next.start
            && (self.prot, &self.flags, self.pkey) == (next.prot, &next.flags, next.pkey)
            && self.policy == next.policy
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// No mapping is.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether pages that were written are its own.
    pub fn is_private(&self) -> bool {
        match &self.backing {
            Backing::Anonymous { .. } | Backing::HugeAnonymous { .. } => true,
            Backing::File { shared, .. } => !shared,
            Backing::Shared { private, .. } => *private,
            Backing::Special { .. } => false,
        }
    }

    /// Whether a page that is not its own is something else than zeros.
    pub fn has_background(&self) -> bool {
        matches!(self.backing, Backing::File { .. } | Backing::Shared { .. })
    }

    fn is_special(&self) -> bool {
        matches!(self.backing, Backing::Special { .. })
    }

    fn has(&self, flag: VmaFlag) -> bool {
        self.flags.contains(&flag)
    }

    /// `PROT_*` with those that a mapping's flags show.
    fn whole_prot(&self) -> i32 {
        // arch/arm64/include/uapi/asm/mman.h
        const PROT_BTI: i32 = 0x10;
        const PROT_MTE: i32 = 0x20;
        let bit = |flag, prot| if self.has(flag) { prot } else { 0 };
        self.prot | bit(VmaFlag::BranchTargets, PROT_BTI) | bit(VmaFlag::Tagged, PROT_MTE)
    }

    fn label(&self) -> String {
        format!("{:#x}-{:#x}", self.start, self.end)
    }
}

/// Joins neighbours that nothing tells apart: the kernel keeps some of them separate for reasons that no process can see.
pub fn join(vmas: Vec<Vma>) -> Vec<Vma> {
    let mut joined: Vec<Vma> = Vec::with_capacity(vmas.len());
    for vma in vmas {
        match joined.last_mut() {
            Some(last) if last.joins(&vma) => {
                last.end = vma.end;
                last.guards.extend(vma.guards);
            }
            _ => joined.push(vma),
        }
    }
    joined
}

/// Where, at restart, things are that the new address space is made from.
#[derive(Debug, Clone)]
pub struct Site<'a> {
    /// Descriptor of each file in the records, by index.
    pub file_slots: &'a [i32],
    /// Descriptor of each shared object, by index.
    pub object_slots: &'a [i32],
    /// Descriptor of the context file.
    pub context: i32,
    /// Where the running kernel's special mappings are parked.
    pub parked: &'a [SpecialMapping],
}

/// A mapping that the kernel makes and fills, by its name in /proc/PID/maps: `[vdso]`, `[vvar]`, `[vvar_vclock]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialMapping {
    /// In brackets.
    pub name: String,
    /// First address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

impl SpecialMapping {
    /// The addresses.
    pub fn range(&self) -> Range {
        self.start..self.start + self.len
    }

    /// Moves it to where it is to be, without its being anywhere else meanwhile.
    pub fn relocate(&self, to: u64, program: &mut Program) {
        move_mapping(self.start, to, self.len, &self.name, program);
    }
}

/// `MADV_GUARD_INSTALL`, Linux 6.13 (include/uapi/asm-generic/mman-common.h).
const MADV_GUARD_INSTALL: i32 = 102;
/// `MAP_DROPPABLE`, Linux 6.11 (include/uapi/linux/mman.h).
const MAP_DROPPABLE: i32 = 0x08;
/// `mseal`, Linux 6.10: the same number on every architecture.
const SYS_MSEAL: i64 = 462;
const PR_SET_MM_MAP: i32 = 14;
const PR_SET_VMA: i32 = 0x5356_4d41;
/// Linux 6.3 (include/uapi/linux/prctl.h).
const PR_SET_MDWE: i32 = 65;
/// See `PR_SET_MDWE`.
pub const PR_GET_MDWE: i32 = 66;
/// Linux 6.4
const PR_SET_MEMORY_MERGE: i32 = 67;
/// See `PR_SET_MEMORY_MERGE`.
pub const PR_GET_MEMORY_MERGE: i32 = 68;
/// preadv(2) takes no more vectors than this.
const IOV_MAX: usize = 1024;

impl Memory {
    /// Builds the address space around the scratch range, in which nothing else is mapped but what is parked.
    pub fn rebuild(&self, site: &Site<'_>, program: &mut Program) {
        // First: the kernel changes the executable only while the one before is mapped nowhere (replace_mm_exe_file, kernel/fork.c), and the
        // new one may be the engine's own.
        self.rebuild_marks(site, program);
        self.rebuild_special(site, program);
        membarrier::rebuild(self.membarrier, program);
        self.rebuild_merge(program);
        let keys = Keys::take(self.pkeys, &self.vmas, program);
        for vma in self.vmas.iter().filter(|v| !v.is_special()) {
            self.map(vma, site, program);
        }
        self.fill(site.context, program);
        for vma in self.vmas.iter().filter(|v| !v.is_special()) {
            self.finish(vma, &keys, program);
        }
        keys.finish(program);
        self.rebuild_thp_disable(program);
    }

    /// Moves the running kernel's vdso and its data to where the process knows them.
    fn rebuild_special(&self, site: &Site<'_>, program: &mut Program) {
        for vma in self.vmas.iter().filter(|v| v.is_special()) {
            let Backing::Special { name } = &vma.backing else { continue };
            if let Some(parked) = site.parked.iter().find(|parked| parked.name == *name) {
                parked.relocate(vma.start, program);
            }
        }
        for parked in site.parked {
            let wanted = |v: &Vma| matches!(&v.backing, Backing::Special { name } if *name == parked.name);
            if !self.vmas.iter().any(wanted) {
                let args = [parked.start.into(), parked.len.into()];
                program.must(libc::SYS_munmap, &args, format!("unmap {}", parked.name));
            }
        }
    }

    fn holds_pages(&self, vma: &Vma) -> bool {
        let at = self.pages.partition_point(|e| e.start + e.len <= vma.start);
        self.pages.get(at).is_some_and(|e| e.start < vma.end)
    }

    /// Mapped writable at first: to be filled, or because what was ever writable counts against the commit limit.
    fn first_prot(&self, vma: &Vma) -> i32 {
        if vma.is_private() && (vma.has(VmaFlag::Accounted) || self.holds_pages(vma)) {
            vma.whole_prot() | libc::PROT_WRITE
        } else {
            vma.whole_prot()
        }
    }

    fn map(&self, vma: &Vma, site: &Site<'_>, program: &mut Program) {
        let (mut flags, fd, offset) = match &vma.backing {
            Backing::Anonymous { .. } if vma.has(VmaFlag::Droppable) => {
                (MAP_DROPPABLE | libc::MAP_ANONYMOUS, -1, 0)
            }
            Backing::Anonymous { .. } => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0),
            Backing::HugeAnonymous { page } => {
                let size = (page.trailing_zeros() as i32) << libc::MAP_HUGE_SHIFT;
                (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | size, -1, 0)
            }
            Backing::Shared { object, offset, private } => {
                let kind = if *private { libc::MAP_PRIVATE } else { libc::MAP_SHARED };
                (kind, site.object_slots[*object], *offset)
            }
            Backing::File { file, offset, shared } => {
                let kind = if *shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
                (kind, site.file_slots[*file], *offset)
            }
            Backing::Special { .. } => return,
        };
        flags |= libc::MAP_FIXED_NOREPLACE;
        if vma.has(VmaFlag::GrowsDown) {
            flags |= libc::MAP_GROWSDOWN;
        }
        if vma.has(VmaFlag::NoReserve) {
            flags |= libc::MAP_NORESERVE;
        }
        let args: [Arg; 6] = [
            vma.start.into(),
            vma.len().into(),
            self.first_prot(vma).into(),
            flags.into(),
            fd.into(),
            offset.into(),
        ];
        program.equal(libc::SYS_mmap, &args, vma.start, format!("map {}", vma.label()));
        // Before the pages come, so that they come in the right place and size.
        if let Some(policy) = &vma.policy {
            policy.bind(vma.start, vma.len(), program);
        }
        for (flag, advice, what) in [
            (VmaFlag::HugePage, libc::MADV_HUGEPAGE, "MADV_HUGEPAGE"),
            (VmaFlag::NoHugePage, libc::MADV_NOHUGEPAGE, "MADV_NOHUGEPAGE"),
        ] {
            if vma.has(flag) {
                advise(vma.start..vma.end, advice, what, program);
            }
        }
    }

    /// The target itself reads its pages from the context file: one call for each run of the file, of up to 1024 places.
    fn fill(&self, context: i32, program: &mut Program) {
        // A call moves at most 2 GiB (MAX_RW_COUNT).
        const MAX_CALL: u64 = 1 << 30;
        let mut by_offset: Vec<Extent> = Vec::with_capacity(self.pages.len());
        for extent in &self.pages {
            for at in (0..extent.len).step_by(MAX_CALL as usize) {
                let len = MAX_CALL.min(extent.len - at);
                by_offset.push(Extent { start: extent.start + at, len, offset: extent.offset + at });
            }
        }
        by_offset.sort_by_key(|e| e.offset);
        let mut rest = &by_offset[..];
        while let Some(first) = rest.first() {
            let (mut count, mut len) = (0, 0);
            while let Some(next) = rest.get(count)
                && next.offset == first.offset + len
                && count < IOV_MAX
                && len + next.len <= MAX_CALL
            {
                len += next.len;
                count += 1;
            }
            let iov: Vec<u8> =
                rest[..count].iter().flat_map(|e| [e.start, e.len]).flat_map(u64::to_ne_bytes).collect();
            let iov = program.bytes(iov);
            let args: [Arg; 5] = [context.into(), iov.into(), count.into(), first.offset.into(), Arg::Imm(0)];
            let what = format!("read pages at {:#x}", first.start);
            program.equal(libc::SYS_preadv, &args, len, what);
            rest = &rest[count..];
        }
    }

    /// What is set on a mapping after its pages are there.
    fn finish(&self, vma: &Vma, keys: &Keys, program: &mut Program) {
        for guard in &vma.guards {
            advise(guard.clone(), MADV_GUARD_INSTALL, "MADV_GUARD_INSTALL", program);
        }
        for (flag, advice, what) in [
            (VmaFlag::Sequential, libc::MADV_SEQUENTIAL, "MADV_SEQUENTIAL"),
            (VmaFlag::Random, libc::MADV_RANDOM, "MADV_RANDOM"),
            (VmaFlag::DontCopy, libc::MADV_DONTFORK, "MADV_DONTFORK"),
            (VmaFlag::WipeOnFork, libc::MADV_WIPEONFORK, "MADV_WIPEONFORK"),
            (VmaFlag::DontDump, libc::MADV_DONTDUMP, "MADV_DONTDUMP"),
            (VmaFlag::Mergeable, libc::MADV_MERGEABLE, "MADV_MERGEABLE"),
        ] {
            // A droppable mapping is born with the last two of these set.
            let implied =
                vma.has(VmaFlag::Droppable) && matches!(flag, VmaFlag::WipeOnFork | VmaFlag::DontDump);
            if vma.has(flag) && !implied {
                advise(vma.start..vma.end, advice, what, program);
            }
        }
        if self.merge && !vma.has(VmaFlag::Mergeable) && vma.is_private() {
            let args = [vma.start.into(), vma.len().into(), libc::MADV_UNMERGEABLE.into()];
            // What cannot be merged at all says EINVAL or nothing.
            program.may(libc::SYS_madvise, &args, format!("do not merge {}", vma.label()));
        }
        if let Backing::Anonymous { name: Some(name) } = &vma.backing {
            let text = program.cstr(&name.0);
            let args = [PR_SET_VMA.into(), Arg::Imm(0), vma.start.into(), vma.len().into(), text.into()];
            program.must(libc::SYS_prctl, &args, format!("name {}", vma.label()));
        }
        let args: [Arg; 4] = [vma.start.into(), vma.len().into(), vma.whole_prot().into(), vma.pkey.into()];
        if vma.pkey != 0 && !keys.is_execute_only(vma) {
            program.must(arch::SYS_PKEY_MPROTECT, &args, format!("protect {} with a key", vma.label()));
        } else if vma.whole_prot() != self.first_prot(vma) {
            program.must(libc::SYS_mprotect, &args[..3], format!("protect {}", vma.label()));
        }
        if vma.has(VmaFlag::Locked) {
            let lock = |how: u32| [vma.start.into(), vma.len().into(), how.into()];
            let what = format!("lock {}", vma.label());
            // This one brings no page in, so that an error means that nothing is locked.
            program.must(libc::SYS_mlock2, &lock(libc::MLOCK_ONFAULT), what.clone());
            if !vma.has(VmaFlag::LockedOnFault) {
                // This one says ENOMEM of pages that cannot be there, such as those of a PROT_NONE range, and locks all the same.
                program.may(libc::SYS_mlock2, &lock(0), what);
            }
        }
        if vma.has(VmaFlag::Sealed) {
            program.must(SYS_MSEAL, &[vma.start.into(), vma.len().into()], format!("seal {}", vma.label()));
        }
    }

    fn rebuild_marks(&self, site: &Site<'_>, program: &mut Program) {
        let m = &self.marks;
        let auxv = program.bytes(self.auxv.0.clone());
        let mut bytes: Vec<u8> = [
            m.start_code,
            m.end_code,
            m.start_data,
            m.end_data,
            m.start_brk,
            m.brk,
            m.start_stack,
            m.arg_start,
            m.arg_end,
            m.env_start,
            m.env_end,
            0,
        ]
        .iter()
        .flat_map(|w| w.to_ne_bytes())
        .collect();
        bytes.extend((self.auxv.0.len() as u32).to_ne_bytes());
        bytes.extend((site.file_slots[self.exe] as u32).to_ne_bytes());
        let size = bytes.len();
        let map = program.bytes(bytes);
        program.point(map, 11 * 8, auxv, 0);
        let args = [libc::PR_SET_MM.into(), PR_SET_MM_MAP.into(), map.into(), size.into(), Arg::Imm(0)];
        program.must(libc::SYS_prctl, &args, "set code, data, heap, stack and executable (PR_SET_MM_MAP)");
    }

    /// Every mapping that is made from here on is mergeable, as one is by madvise(2).
    fn rebuild_merge(&self, program: &mut Program) {
        if self.merge {
            let args = [PR_SET_MEMORY_MERGE.into(), Arg::Imm(1), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
            program.must(libc::SYS_prctl, &args, "merge equal pages (PR_SET_MEMORY_MERGE)");
        }
    }

    fn rebuild_thp_disable(&self, program: &mut Program) {
        if self.thp_disable != 0 {
            let flags = self.thp_disable & !1;
            let args = [libc::PR_SET_THP_DISABLE.into(), Arg::Imm(1), flags.into(), Arg::Imm(0), Arg::Imm(0)];
            program.must(libc::SYS_prctl, &args, "disable transparent huge pages");
        }
    }

    /// Sets what concerns mappings to come: the last change to the address space but for the scratch range.
    pub fn rebuild_future(&self, program: &mut Program) {
        if let Some(lock) = self.lock_future {
            let flags = match lock {
                LockFuture::Now => libc::MCL_FUTURE,
                LockFuture::OnFault => libc::MCL_FUTURE | libc::MCL_ONFAULT,
            };
            program.must(libc::SYS_mlockall, &[flags.into()], "lock mappings to come");
        }
        if self.deny_write_execute != 0 {
            let args =
                [PR_SET_MDWE.into(), self.deny_write_execute.into(), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
            program.must(libc::SYS_prctl, &args, "deny memory that is written and executed (PR_SET_MDWE)");
        }
    }
}

fn advise(range: Range, advice: i32, name: &str, program: &mut Program) {
    let what = format!("madvise {:#x}-{:#x} {name}", range.start, range.end);
    program.must(
        libc::SYS_madvise,
        &[range.start.into(), (range.end - range.start).into(), advice.into()],
        what,
    );
}

/// mremap(2) to a place where nothing is mapped.
fn move_mapping(from: u64, to: u64, len: u64, name: &str, program: &mut Program) {
    if from != to {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        let args: [Arg; 5] = [from.into(), len.into(), len.into(), flags.into(), to.into()];
        program.equal(libc::SYS_mremap, &args, to, format!("move {name} to {to:#x}"));
    }
}

/// Fields of /proc/PID/stat.
///
/// # Errors
/// *denied* when the kernel hides them.
pub fn marks(stat: &procfs::process::Stat, brk: u64) -> Result<Marks> {
    let hidden = || Error::unsupported(format!("pid {}: /proc/PID/stat has no addresses", stat.pid));
    let get = |field: Option<u64>| field.ok_or_else(hidden);
    Ok(Marks {
        start_code: stat.startcode,
        end_code: stat.endcode,
        start_data: get(stat.start_data)?,
        end_data: get(stat.end_data)?,
        start_brk: get(stat.start_brk)?,
        brk,
        start_stack: stat.startstack,
        arg_start: get(stat.arg_start)?,
        arg_end: get(stat.arg_end)?,
        env_start: get(stat.env_start)?,
        env_end: get(stat.env_end)?,
    })
}

/// The auxiliary vector up to and with its `AT_NULL`.
///
/// # Errors
/// What the kernel says.
pub fn auxv(pid: i32) -> Result<Bytes> {
    let mut auxv = std::fs::read(format!("/proc/{pid}/auxv")).context(|| format!("read /proc/{pid}/auxv"))?;
    let end = auxv.chunks(16).position(|pair| pair.iter().take(8).all(|b| *b == 0));
    auxv.truncate(end.map_or(auxv.len(), |at| (at + 1) * 16));
    Ok(Bytes(auxv))
}

/// Name of the mapping with the kernel's code.
pub const VDSO: &str = "[vdso]";

/// Digest of the vdso's code, to be compared with the running kernel's at restart.
///
/// # Errors
/// Memory that cannot be read.
pub fn vdso_digest(pid: i32, vdso: Range) -> Result<u64> {
    let mut code = vec![0u8; (vdso.end - vdso.start) as usize];
    crate::sys::vm::read(pid, RemoteAddr(vdso.start), &mut code).context(|| format!("read vdso of {pid}"))?;
    Ok(xxhash_rust::xxh3::xxh3_64(&code))
}

/// Whether mlockall(2) is in force for mappings to come: no interface tells, but a mapping that was just made, such as the
/// scratch range at `fresh`, shows it.
///
/// # Errors
/// *vanished*
pub fn lock_future(leader: &Stopped, scratch: Option<Scratch>) -> Result<Option<LockFuture>> {
    let fresh = match (leader, scratch) {
        (Stopped::Traced(_), Some(scratch)) => scratch.stub().0,
        (Stopped::Held(leader), _) => {
            return Ok(match leader.process()?.lock_future {
                0 => None,
                1 => Some(LockFuture::Now),
                _ => Some(LockFuture::OnFault),
            });
        }
        (Stopped::Traced(_), None) => unreachable!("a traced process gets a scratch range"),
    };
    let pid = leader.pid();
    let status = crate::proc::status::of_thread(pid, pid)?;
    if status.vmlck.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let path = format!("/proc/{pid}/smaps");
    let text = std::fs::read(&path).context(|| format!("read {path}"))?;
    let vmas = smaps::parse(&text).map_err(|err| Error::unsupported(format!("pid {pid}: {err}")))?;
    let scratch = vmas.iter().find(|v| v.start <= fresh && fresh < v.end);
    Ok(scratch.filter(|v| v.flags.contains(VmFlags::LOCKED)).map(|v| {
        // Locked at once means populated at once.
        if v.rss == v.size() { LockFuture::Now } else { LockFuture::OnFault }
    }))
}
