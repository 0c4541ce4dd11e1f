//! The steps that build an address space.

use super::attachment::{Attachment, attachments};
use super::marks::LockFuture;
use super::membarrier;
use super::pkey::Keys;
use super::shared::SharedMemory;
use super::vma::{Backing, Vma, VmaFlag};
use super::{Memory, Range};
use crate::arch;
use crate::image::Extent;
use crate::remote::{Arg, Program};
use std::collections::HashSet;

/// Where a restart finds what the new address space is made from.
#[derive(Debug, Clone)]
pub struct MemorySources<'a> {
    /// Descriptor of each file in the records, by index.
    pub file_slots: &'a [i32],
    /// Shared memory objects, and the descriptor of each, by index.
    pub objects: &'a [SharedMemory],
    /// See `objects`.
    pub object_slots: &'a [i32],
    /// Descriptor of the context file.
    pub context: i32,
    /// Temporary addresses of the running kernel's special mappings.
    pub relocated: &'a [SpecialMapping],
    /// What is mapped before the address space is built.
    pub mapped: Range,
    /// One past the highest address that mmap(2) chooses by itself.
    pub window: u64,
    /// Indices of the files that the kernel places when they are mapped.
    pub placed: &'a HashSet<usize>,
}

impl MemorySources<'_> {
    /// Whether the kernel chooses where to map it.
    fn places(&self, vma: &Vma) -> bool {
        matches!(vma.backing, Backing::File { file, .. } if self.placed.contains(&file))
    }
}

/// A mapping that the kernel creates and fills, by its name in /proc/PID/maps: `[vdso]`, `[vvar]`,
/// `[vvar_vclock]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialMapping {
    /// In brackets.
    pub name: String,
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
}

impl SpecialMapping {
    /// Its address range.
    pub fn range(&self) -> Range {
        self.start..self.start + self.len
    }

    /// Moves it to an unmapped address.
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
/// Linux 6.4
const PR_SET_MEMORY_MERGE: i32 = 67;
/// Maximum number of vectors for preadv(2).
const IOV_MAX: usize = 1024;

impl Memory {
    /// Builds the address space around the scratch range. Only that and the relocated special
    /// mappings may be mapped.
    pub fn rebuild(&self, sources: &MemorySources<'_>, program: &mut Program) {
        // First: the kernel replaces the executable only when the old one is not mapped any more
        // (replace_mm_exe_file, kernel/fork.c), and the new one may be the engine's own.
        self.rebuild_marks(sources, program);
        self.rebuild_placed(sources, program);
        self.rebuild_special(sources, program);
        membarrier::rebuild(self.membarrier, program);
        self.rebuild_merge(program);
        let keys = Keys::take(self.pkeys, &self.vmas, program);
        let attachments = self.attachments(sources.objects);
        for attachment in &attachments {
            // Validated: the mapping of a segment leads to one.
            let Some(segment) = &sources.objects[attachment.object].segment else { continue };
            attachment.rebuild(segment, program);
        }
        for vma in self.vmas.iter().filter(|v| !v.is_special()) {
            self.map(vma, sources, program);
        }
        self.fill(sources.context, program);
        for vma in self.vmas.iter().filter(|v| !v.is_special()) {
            self.finish(vma, &keys, program);
        }
        keys.finish(program);
        self.rebuild_thp_disable(program);
    }

    /// Maps files for which mmap(2) takes no address, nor does mremap(2) move them (io_uring since
    /// Linux 6.5, `io_uring_get_unmapped_area` in io_uring/memmap.c): where the only room is left.
    fn rebuild_placed(&self, sources: &MemorySources<'_>, program: &mut Program) {
        /// mmap(2) leaves out what is below vm.mmap_min_addr, at most.
        const LOWEST: u64 = 1 << 16;
        let mut mapped = vec![sources.mapped.clone()];
        for vma in self.vmas.iter().filter(|vma| sources.places(vma)) {
            let Backing::File { file, offset, .. } = vma.backing else { continue };
            mapped.push(vma.start..vma.end);
            mapped.sort_by_key(|range| range.start);
            let ends = mapped.iter().map(|range| range.end);
            let begins = mapped.iter().map(|range| range.start).chain([sources.window]);
            let gaps = [LOWEST].into_iter().chain(ends).zip(begins).filter(|(start, end)| start < end);
            let gaps: Vec<(u64, u64)> = gaps.collect();
            let flags =
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
            for (start, end) in &gaps {
                let args: [Arg; 6] = [
                    (*start).into(),
                    (end - start).into(),
                    libc::PROT_NONE.into(),
                    flags.into(),
                    (-1).into(),
                    Arg::Imm(0),
                ];
                program.call_returning(libc::SYS_mmap, &args, *start, "leave no other room");
            }
            let slot = sources.file_slots[file];
            let args: [Arg; 6] = [
                Arg::Imm(0),
                vma.len().into(),
                vma.whole_prot().into(),
                libc::MAP_SHARED.into(),
                slot.into(),
                offset.into(),
            ];
            program.call_returning(libc::SYS_mmap, &args, vma.start, format!("map {}", vma.label()));
            for (start, end) in gaps {
                program.call_ok(libc::SYS_munmap, &[start.into(), (end - start).into()], "leave room");
            }
        }
    }

    /// What shmat(2) has mapped; validation has shown that it can do so again.
    pub fn attachments(&self, objects: &[SharedMemory]) -> Vec<Attachment> {
        attachments(self.vmas.iter(), |object| objects[object].whole_size(), u64::MAX)
            .expect("validation finds what has no room")
    }

    /// Moves the running kernel's vdso and its data to the addresses recorded for the process.
    fn rebuild_special(&self, sources: &MemorySources<'_>, program: &mut Program) {
        for vma in self.vmas.iter().filter(|v| v.is_special()) {
            let Backing::Special { name } = &vma.backing else { continue };
            if let Some(relocated) = sources.relocated.iter().find(|relocated| relocated.name == *name) {
                relocated.relocate(vma.start, program);
            }
        }
        for relocated in sources.relocated {
            let wanted = |v: &Vma| matches!(&v.backing, Backing::Special { name } if *name == relocated.name);
            if !self.vmas.iter().any(wanted) {
                let args = [relocated.start.into(), relocated.len.into()];
                program.call_ok(libc::SYS_munmap, &args, format!("unmap {}", relocated.name));
            }
        }
    }

    fn holds_pages(&self, vma: &Vma) -> bool {
        let at = self.pages.partition_point(|e| e.start + e.len <= vma.start);
        self.pages.get(at).is_some_and(|e| e.start < vma.end)
    }

    /// Mapped writable at first: to be filled, or because a mapping that was ever writable counts
    /// against the commit limit.
    /// `None` for a part of System V shared memory, which shmat(2) has mapped.
    fn first_prot(&self, vma: &Vma) -> Option<i32> {
        if matches!(vma.backing, Backing::Segment { .. }) {
            return None;
        }
        Some(if vma.is_private() && (vma.has(VmaFlag::Accounted) || self.holds_pages(vma)) {
            vma.whole_prot() | libc::PROT_WRITE
        } else {
            vma.whole_prot()
        })
    }

    fn map(&self, vma: &Vma, sources: &MemorySources<'_>, program: &mut Program) {
        if let Some(prot) = self.first_prot(vma).filter(|_| !sources.places(vma)) {
            self.mmap(vma, prot, sources, program);
        }
        // Before pages are populated, so that they get the right node and size.
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

    fn mmap(&self, vma: &Vma, prot: i32, sources: &MemorySources<'_>, program: &mut Program) {
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
                (kind, sources.object_slots[*object], *offset)
            }
            Backing::File { file, offset, shared } => {
                let kind = if *shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
                (kind, sources.file_slots[*file], *offset)
            }
            Backing::Special { .. } | Backing::Segment { .. } => return,
        };
        flags |= libc::MAP_FIXED_NOREPLACE;
        if vma.has(VmaFlag::GrowsDown) {
            flags |= libc::MAP_GROWSDOWN;
        }
        if vma.has(VmaFlag::NoReserve) {
            flags |= libc::MAP_NORESERVE;
        }
        let args: [Arg; 6] =
            [vma.start.into(), vma.len().into(), prot.into(), flags.into(), fd.into(), offset.into()];
        program.call_returning(libc::SYS_mmap, &args, vma.start, format!("map {}", vma.label()));
    }

    /// The target itself reads its pages from the context file: one call for each contiguous part
    /// of the file, with up to 1024 vectors.
    fn fill(&self, context: i32, program: &mut Program) {
        // A call reads at most 2 GiB (MAX_RW_COUNT).
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
            program.call_returning(libc::SYS_preadv, &args, len, what);
            rest = &rest[count..];
        }
    }

    /// Sets attributes of a mapping that have to follow its contents.
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
            // A droppable mapping is created with these two set.
            let implied =
                vma.has(VmaFlag::Droppable) && matches!(flag, VmaFlag::WipeOnFork | VmaFlag::DontDump);
            if vma.has(flag) && !implied {
                advise(vma.start..vma.end, advice, what, program);
            }
        }
        if self.merge && !vma.has(VmaFlag::Mergeable) && vma.is_private() {
            let args = [vma.start.into(), vma.len().into(), libc::MADV_UNMERGEABLE.into()];
            // A mapping that cannot be merged at all returns EINVAL or 0.
            program.call_unchecked(libc::SYS_madvise, &args, format!("do not merge {}", vma.label()));
        }
        if let Backing::Anonymous { name: Some(name) } = &vma.backing {
            let text = program.cstr(&name.0);
            let args = [PR_SET_VMA.into(), Arg::Imm(0), vma.start.into(), vma.len().into(), text.into()];
            program.call_ok(libc::SYS_prctl, &args, format!("name {}", vma.label()));
        }
        let args: [Arg; 4] = [vma.start.into(), vma.len().into(), vma.whole_prot().into(), vma.pkey.into()];
        if vma.pkey != 0 && !keys.is_execute_only(vma) {
            program.call_ok(arch::SYS_PKEY_MPROTECT, &args, format!("protect {} with a key", vma.label()));
        } else if Some(vma.whole_prot()) != self.first_prot(vma) {
            program.call_ok(libc::SYS_mprotect, &args[..3], format!("protect {}", vma.label()));
        }
        if vma.has(VmaFlag::Locked) {
            let lock = |how: u32| [vma.start.into(), vma.len().into(), how.into()];
            let what = format!("lock {}", vma.label());
            // This call populates nothing, so an error means that nothing is locked.
            program.call_ok(libc::SYS_mlock2, &lock(libc::MLOCK_ONFAULT), what.clone());
            if !vma.has(VmaFlag::LockedOnFault) {
                // This call returns ENOMEM for pages that cannot be populated, such as those of a
                // PROT_NONE range, but still locks.
                program.call_unchecked(libc::SYS_mlock2, &lock(0), what);
            }
        }
        if vma.has(VmaFlag::Sealed) {
            program.call_ok(
                SYS_MSEAL,
                &[vma.start.into(), vma.len().into()],
                format!("seal {}", vma.label()),
            );
        }
    }

    fn rebuild_marks(&self, sources: &MemorySources<'_>, program: &mut Program) {
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
        bytes.extend((sources.file_slots[self.exe] as u32).to_ne_bytes());
        let size = bytes.len();
        let map = program.bytes(bytes);
        program.pointer_to(map, 11 * 8, auxv, 0);
        let args = [libc::PR_SET_MM.into(), PR_SET_MM_MAP.into(), map.into(), size.into(), Arg::Imm(0)];
        program.call_ok(libc::SYS_prctl, &args, "set code, data, heap, stack and executable (PR_SET_MM_MAP)");
    }

    /// Makes all mappings created from here on mergeable, as madvise(2) does for one.
    fn rebuild_merge(&self, program: &mut Program) {
        if self.merge {
            let args = [PR_SET_MEMORY_MERGE.into(), Arg::Imm(1), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
            program.call_ok(libc::SYS_prctl, &args, "merge equal pages (PR_SET_MEMORY_MERGE)");
        }
    }

    fn rebuild_thp_disable(&self, program: &mut Program) {
        if self.thp_disable != 0 {
            let flags = self.thp_disable & !1;
            let args = [libc::PR_SET_THP_DISABLE.into(), Arg::Imm(1), flags.into(), Arg::Imm(0), Arg::Imm(0)];
            program.call_ok(libc::SYS_prctl, &args, "disable transparent huge pages");
        }
    }

    /// Sets what applies to future mappings: the last change to the address space except for the
    /// scratch range.
    pub fn rebuild_future(&self, program: &mut Program) {
        if let Some(lock) = self.lock_future {
            let flags = match lock {
                LockFuture::Now => libc::MCL_FUTURE,
                LockFuture::OnFault => libc::MCL_FUTURE | libc::MCL_ONFAULT,
            };
            program.call_ok(libc::SYS_mlockall, &[flags.into()], "lock future mappings");
        }
        if self.deny_write_execute != 0 {
            let args =
                [PR_SET_MDWE.into(), self.deny_write_execute.into(), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
            program.call_ok(libc::SYS_prctl, &args, "deny writable and executable memory (PR_SET_MDWE)");
        }
    }
}

fn advise(range: Range, advice: i32, name: &str, program: &mut Program) {
    let what = format!("madvise {:#x}-{:#x} {name}", range.start, range.end);
    program.call_ok(
        libc::SYS_madvise,
        &[range.start.into(), (range.end - range.start).into(), advice.into()],
        what,
    );
}

/// mremap(2) to an unmapped address.
fn move_mapping(from: u64, to: u64, len: u64, name: &str, program: &mut Program) {
    if from != to {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        let args: [Arg; 5] = [from.into(), len.into(), len.into(), flags.into(), to.into()];
        program.call_returning(libc::SYS_mremap, &args, to, format!("move {name} to {to:#x}"));
    }
}
