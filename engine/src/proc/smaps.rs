//! `/proc/PID/smaps`: the mappings of a process with their flags and how much of each is populated.
//! Pure.
//!
//! Source: `show_map_vma`, `show_smap` and `show_smap_vma_flags` in fs/proc/task_mmu.c, Linux 5.10
//! to 7.x; proc_pid_smaps(5).

use super::maps::{Mapping, decimal};
use bitflags::bitflags;

bitflags! {
    /// The flags of `vma->vm_flags` in the `VmFlags` line. The bits are our own, since the kernel's
    /// differ between architectures and versions.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct VmFlags: u64 {
        /// `rd`
        const READ = 1 << 0;
        /// `wr`
        const WRITE = 1 << 1;
        /// `ex`
        const EXEC = 1 << 2;
        /// `sh`
        const SHARED = 1 << 3;
        /// `mr`: PROT_READ may be set
        const MAY_READ = 1 << 4;
        /// `mw`
        const MAY_WRITE = 1 << 5;
        /// `me`
        const MAY_EXEC = 1 << 6;
        /// `ms`: mapped with MAP_SHARED; without `sh`, the file was opened for reading only
        const MAY_SHARE = 1 << 7;
        /// `gd`: MAP_GROWSDOWN, the stack
        const GROWS_DOWN = 1 << 8;
        /// `pf`: physical memory without page structures
        const PFN_MAP = 1 << 9;
        /// `dw`: up to 5.14
        const DENY_WRITE = 1 << 10;
        /// `lo`: mlock(2)
        const LOCKED = 1 << 11;
        /// `io`
        const IO = 1 << 12;
        /// `sr`: MADV_SEQUENTIAL
        const SEQ_READ = 1 << 13;
        /// `rr`: MADV_RANDOM
        const RAND_READ = 1 << 14;
        /// `dc`: MADV_DONTFORK
        const DONT_COPY = 1 << 15;
        /// `de`: mremap(2) may not enlarge it
        const DONT_EXPAND = 1 << 16;
        /// `lf`: MLOCK_ONFAULT, 6.11; older kernels show `??` for it
        const LOCK_ON_FAULT = 1 << 17;
        /// `ac`: counts against the commit limit
        const ACCOUNT = 1 << 18;
        /// `nr`: MAP_NORESERVE
        const NO_RESERVE = 1 << 19;
        /// `ht`: hugetlbfs
        const HUGETLB = 1 << 20;
        /// `sf`: MAP_SYNC
        const SYNC = 1 << 21;
        /// `ar`: VM_ARCH_1, a memory type on x86 (PAT), access order on powerpc
        const ARCH_1 = 1 << 22;
        /// `wf`: MADV_WIPEONFORK
        const WIPE_ON_FORK = 1 << 23;
        /// `dd`: MADV_DONTDUMP
        const DONT_DUMP = 1 << 24;
        /// `bt`: arm64 branch target identification, 5.8
        const BTI = 1 << 25;
        /// `sd`: the whole mapping counts as modified
        const SOFT_DIRTY = 1 << 26;
        /// `mm`: some pages have no page structures
        const MIXED_MAP = 1 << 27;
        /// `hg`: MADV_HUGEPAGE
        const HUGE_PAGE = 1 << 28;
        /// `nh`: MADV_NOHUGEPAGE
        const NO_HUGE_PAGE = 1 << 29;
        /// `mg`: MADV_MERGEABLE
        const MERGEABLE = 1 << 30;
        /// `um`: userfaultfd, missing pages
        const UFFD_MISSING = 1 << 31;
        /// `uw`: userfaultfd, write protection
        const UFFD_WP = 1 << 32;
        /// `ui`: userfaultfd, minor faults, 5.13
        const UFFD_MINOR = 1 << 33;
        /// `mt`: arm64 memory tags, 5.10
        const MTE = 1 << 34;
        /// `ss`: shadow stack, 6.6
        const SHADOW_STACK = 1 << 35;
        /// `sl`: mseal(2), 6.10
        const SEALED = 1 << 36;
        /// `dp`: MAP_DROPPABLE, 6.11
        const DROPPABLE = 1 << 37;
        /// `gu`: may have guard regions (MADV_GUARD_INSTALL), 6.19 and updates of 6.18. Kernels
        /// from 6.13 have such regions without showing the flag.
        const MAYBE_GUARD = 1 << 38;
    }
}

impl VmFlags {
    /// The flag of a two-letter code.
    fn of_code(code: &[u8]) -> Option<VmFlags> {
        Some(match code {
            b"rd" => VmFlags::READ,
            b"wr" => VmFlags::WRITE,
            b"ex" => VmFlags::EXEC,
            b"sh" => VmFlags::SHARED,
            b"mr" => VmFlags::MAY_READ,
            b"mw" => VmFlags::MAY_WRITE,
            b"me" => VmFlags::MAY_EXEC,
            b"ms" => VmFlags::MAY_SHARE,
            b"gd" => VmFlags::GROWS_DOWN,
            b"pf" => VmFlags::PFN_MAP,
            b"dw" => VmFlags::DENY_WRITE,
            b"lo" => VmFlags::LOCKED,
            b"io" => VmFlags::IO,
            b"sr" => VmFlags::SEQ_READ,
            b"rr" => VmFlags::RAND_READ,
            b"dc" => VmFlags::DONT_COPY,
            b"de" => VmFlags::DONT_EXPAND,
            b"lf" => VmFlags::LOCK_ON_FAULT,
            b"ac" => VmFlags::ACCOUNT,
            b"nr" => VmFlags::NO_RESERVE,
            b"ht" => VmFlags::HUGETLB,
            b"sf" => VmFlags::SYNC,
            b"ar" => VmFlags::ARCH_1,
            b"wf" => VmFlags::WIPE_ON_FORK,
            b"dd" => VmFlags::DONT_DUMP,
            b"bt" => VmFlags::BTI,
            b"sd" => VmFlags::SOFT_DIRTY,
            b"mm" => VmFlags::MIXED_MAP,
            b"hg" => VmFlags::HUGE_PAGE,
            b"nh" => VmFlags::NO_HUGE_PAGE,
            b"mg" => VmFlags::MERGEABLE,
            b"um" => VmFlags::UFFD_MISSING,
            b"uw" => VmFlags::UFFD_WP,
            b"ui" => VmFlags::UFFD_MINOR,
            b"mt" => VmFlags::MTE,
            b"ss" => VmFlags::SHADOW_STACK,
            b"sl" => VmFlags::SEALED,
            b"dp" => VmFlags::DROPPABLE,
            b"gu" => VmFlags::MAYBE_GUARD,
            _ => return None,
        })
    }
}

/// A mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vma {
    /// First address
    pub start: u64,
    /// One past the last address
    pub end: u64,
    pub read: bool,
    pub write: bool,
    pub exec: bool,
    /// MAP_SHARED
    pub shared: bool,
    /// Offset into the file in bytes; 0 for anonymous memory
    pub offset: u64,
    /// Device of the file, major and minor; both 0 for anonymous memory
    pub dev: (u32, u32),
    /// Inode of the file; 0 for anonymous memory
    pub inode: u64,
    /// Path of the file as seen from the reader's root, or a name in brackets such as `[heap]`. The
    /// kernel escapes only line breaks, as `\012`, so a name that contains these four characters is
    /// misread.
    pub path: Option<Vec<u8>>,
    pub flags: VmFlags,
    /// Unknown codes of the `VmFlags` line, including `??`.
    pub unknown: Vec<String>,
    /// Resident memory in bytes, without hugetlbfs pages
    pub rss: u64,
    /// Resident hugetlbfs pages in bytes
    pub hugetlb: u64,
    /// Bytes in swap
    pub swap: u64,
    /// Resident bytes not backed by a file: anonymous memory, and copied pages of private file
    /// mappings
    pub anonymous: u64,
    /// Page size in bytes, larger than the system's for hugetlbfs
    pub kernel_page_size: u64,
    /// Protection key; `None` if the processor does not have them
    pub protection_key: Option<u32>,
}

const DELETED: &[u8] = b" (deleted)";

impl Vma {
    /// Size in bytes
    pub fn size(&self) -> u64 {
        self.end - self.start
    }

    /// Whether the path ends in `" (deleted)"`, as that of an unlinked file. A file may really have
    /// such a name; only stat(2) shows that.
    pub fn is_deleted(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.ends_with(DELETED))
    }

    /// The path without `" (deleted)"`.
    pub fn bare_path(&self) -> Option<&[u8]> {
        self.path.as_deref().map(|path| path.strip_suffix(DELETED).unwrap_or(path))
    }

    /// The name in brackets of a mapping without a file: `heap`, `stack`, `vdso`, `vvar`,
    /// `anon:NAME` …
    pub fn special(&self) -> Option<&[u8]> {
        self.path.as_deref()?.strip_prefix(b"[")?.strip_suffix(b"]")
    }
}

/// Text that is not a valid smaps file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("smaps line {line}: {what}: {text:?}")]
pub struct Error {
    /// Line number, from 1
    pub line: usize,
    pub what: &'static str,
    /// The line
    pub text: String,
}

/// Parses the whole text of an smaps file. The mappings are in ascending order and do not overlap.
///
/// Lines that are not needed are skipped, known or not.
///
/// # Errors
/// A line that does not have the kernel's format, mappings out of order, or one without `VmFlags`
/// (as in truncated text).
pub fn parse(text: &[u8]) -> Result<Vec<Vma>, Error> {
    let mut vmas: Vec<Vma> = Vec::new();
    // True once the current mapping's last line has been seen; every mapping ends with VmFlags.
    let mut complete = true;
    let mut number = 0;
    let mut last: &[u8] = b"";
    for line in text.split(|&byte| byte == b'\n') {
        number += 1;
        if line.is_empty() {
            continue;
        }
        last = line;
        let bad = |what| error(number, what, line);
        if !line[0].is_ascii_uppercase() {
            let vma = parse_header(line).ok_or_else(|| bad("not the first line of a mapping"))?;
            if !complete {
                return Err(bad("the previous mapping has no VmFlags"));
            }
            if vma.start >= vma.end || vmas.last().is_some_and(|before| before.end > vma.start) {
                return Err(bad("addresses are out of order"));
            }
            vmas.push(vma);
            complete = false;
        } else {
            let vma = vmas.last_mut().ok_or_else(|| bad("a detail before the first mapping"))?;
            complete |= parse_detail(vma, line).ok_or_else(|| bad("not a detail of a mapping"))?;
        }
    }
    if !complete {
        return Err(error(number, "the last mapping has no VmFlags", last));
    }
    Ok(vmas)
}

fn error(line: usize, what: &'static str, text: &[u8]) -> Error {
    Error { line, what, text: String::from_utf8_lossy(text).into_owned() }
}

fn parse_header(line: &[u8]) -> Option<Vma> {
    let mapping = Mapping::parse(line)?;
    let Mapping { start, end, read, write, exec, shared, offset, dev, inode, printed } = mapping;
    let path = (!printed.is_empty()).then(|| mapping.path().into_owned());
    Some(Vma { start, end, read, write, exec, shared, offset, dev, inode, path, ..Vma::default() })
}

/// Parses a line after the first; true for the last one, `VmFlags`.
fn parse_detail(vma: &mut Vma, line: &[u8]) -> Option<bool> {
    // Most lines are irrelevant: match the first letters before searching.
    match line {
        [b'R', b's', b's', b':', rest @ ..] => vma.rss = kilobytes(rest)?,
        [b'A', b'n', b'o', b'n', b'y', b'm', b'o', b'u', b's', b':', rest @ ..] => {
            vma.anonymous = kilobytes(rest)?;
        }
        [b'S', b'w', b'a', b'p', b':', rest @ ..] => vma.swap = kilobytes(rest)?,
        [b'K', b'e', ..] => {
            if let Some(rest) = line.strip_prefix(b"KernelPageSize:") {
                vma.kernel_page_size = kilobytes(rest)?;
            }
        }
        [b'S', b'h', ..] => {
            if let Some(rest) = line.strip_prefix(b"Shared_Hugetlb:") {
                vma.hugetlb = vma.hugetlb.checked_add(kilobytes(rest)?)?;
            }
        }
        [b'P', b'r', ..] => {
            if let Some(rest) = line.strip_prefix(b"Private_Hugetlb:") {
                vma.hugetlb = vma.hugetlb.checked_add(kilobytes(rest)?)?;
            } else if let Some(rest) = line.strip_prefix(b"ProtectionKey:") {
                vma.protection_key = Some(number(rest)?.0.try_into().ok()?);
            }
        }
        [b'V', b'm', b'F', b'l', b'a', b'g', b's', b':', rest @ ..] => {
            for code in rest.split(|&byte| byte == b' ').filter(|code| !code.is_empty()) {
                match VmFlags::of_code(code) {
                    Some(flag) => vma.flags |= flag,
                    None => vma.unknown.push(String::from_utf8_lossy(code).into_owned()),
                }
            }
            return Some(true);
        }
        _ => {}
    }
    Some(false)
}

/// A number after spaces, followed by ` kB`; in bytes.
fn kilobytes(text: &[u8]) -> Option<u64> {
    let (value, rest) = number(text)?;
    (rest == b" kB").then_some(value)?.checked_mul(1024)
}

/// A decimal number after spaces.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    decimal(&text[text.iter().take_while(|&&byte| byte == b' ').count()..])
}

#[cfg(test)]
#[path = "smaps_tests.rs"]
mod tests;
