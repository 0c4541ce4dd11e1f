//! Finds a process's own populated pages and its guard pages, by the ioctl `PAGEMAP_SCAN` where the
//! kernel has it.

use super::Range;
use super::dump::{DataSource, DumpPlan, Owner};
use super::vma::{Vma, VmaFlag};
use crate::error::{Context, Result};
use crate::sys::kmod::Device;
use crate::sys::task::Seen;
use crate::sys::{page_size, pagemap_scan as scan, task_size};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// How this kernel reports populated pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagemapMethod {
    /// The ioctl, with guard pages (Linux 6.15).
    ScanGuards,
    /// The ioctl (Linux 6.7).
    Scan,
    /// Reading /proc/PID/pagemap.
    Read,
}

impl PagemapMethod {
    /// Probes the kernel, on a page of our own.
    pub fn probe() -> Self {
        let Ok(pagemap) = File::open("/proc/self/pagemap") else { return PagemapMethod::Read };
        let try_with = |mask| scan::scan(&pagemap, 0, page_size(), mask, 0, mask, |_| {});
        if try_with(scan::IS_GUARD).is_ok() {
            PagemapMethod::ScanGuards
        } else if try_with(scan::IS_PRESENT).is_ok() {
            PagemapMethod::Scan
        } else {
            PagemapMethod::Read
        }
    }
}

/// Populated pages of a whole address space that are private to it, and guard pages
/// (`MADV_GUARD_INSTALL`): sorted, disjoint.
#[derive(Debug, Default)]
struct Population {
    own: Vec<Range>,
    guards: Vec<Range>,
}

/// Scans all populated pages in `range` once.
fn scan_all(pagemap: &File, method: PagemapMethod, range: Range) -> std::io::Result<Population> {
    let guard = if method == PagemapMethod::ScanGuards { scan::IS_GUARD } else { 0 };
    let wanted = scan::IS_PRESENT | scan::IS_SWAPPED | guard;
    let not = scan::IS_FILE | scan::IS_PFNZERO;
    let mut found = Population::default();
    // A guard marker counts as swapped, too.
    scan::scan(pagemap, range.start, range.end, wanted, not, wanted, |region| {
        let list = if region.categories & guard != 0 { &mut found.guards } else { &mut found.own };
        push(list, region.start..region.end);
    })?;
    Ok(found)
}

/// The parts of sorted ranges that are inside `range`; advances `ranges` past those before it.
fn take_inside(ranges: &mut &[Range], range: &Range) -> Vec<Range> {
    let before = ranges.iter().take_while(|r| r.end <= range.start).count();
    *ranges = &ranges[before..];
    let inside = ranges.iter().take_while(|r| r.start < range.end);
    inside.map(|r| r.start.max(range.start)..r.end.min(range.end)).collect()
}

fn push(ranges: &mut Vec<Range>, next: Range) {
    match ranges.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => ranges.push(next),
    }
}

/// Documentation/admin-guide/mm/pagemap.rst: bit 63 present, 62 swapped, 61 file page or shared.
fn read_pagemap(pagemap: &File, range: Range) -> std::io::Result<Vec<Range>> {
    const BATCH: usize = 64 * 1024;
    let page = page_size();
    let mut own = Vec::new();
    let mut buf = vec![0u8; BATCH.min(((range.end - range.start) / page) as usize) * 8];
    let mut at = range.start;
    while at < range.end {
        let pages = (((range.end - at) / page) as usize).min(BATCH);
        let bytes = &mut buf[..pages * 8];
        pagemap.read_exact_at(bytes, at / page * 8)?;
        for entry in bytes.chunks_exact(8) {
            let entry = u64::from_ne_bytes(entry.try_into().expect("eight bytes"));
            if entry >> 62 != 0 && entry & (1 << 61) == 0 {
                push(&mut own, at..at + page);
            }
            at += page;
        }
    }
    Ok(own)
}

/// Adds a process's private pages to the dump plan and records guard pages in the mappings, which
/// are sorted. Returns the pages that have memory tags.
///
/// # Errors
/// What the kernel reports.
pub fn collect_pages(
    process: Seen,
    device: Option<Arc<Device>>,
    vmas: &mut [(Vma, bool)],
    method: PagemapMethod,
    owner: Owner,
    dump_plan: &mut DumpPlan,
) -> Result<Vec<Range>> {
    let Seen { pid, by: tid } = process;
    let what = || format!("find pages of {pid}");
    let mut tagged = Vec::new();
    let pagemap = File::open(format!("/proc/{tid}/pagemap")).context(what)?;
    let (plain, forced) = match device {
        Some(device) => {
            let held = dump_plan.source(DataSource::ModuleThread { pid, device });
            (held, held)
        }
        None => {
            let [plain, forced] =
                [false, true].map(|forced| dump_plan.source(DataSource::Process { tid, forced }));
            (plain, forced)
        }
    };
    // From the first mapping to the last, not from 0 to the end of the address space: powerpc
    // (Linux 7.2) rejects a user range as long as the whole address space (`__access_ok`,
    // arch/powerpc/include/asm/uaccess.h). Anything beyond, such as the vsyscall page of x86,
    // belongs to the kernel.
    let span = vmas.first().map_or(0, |(vma, _)| vma.start)
        ..vmas.last().map_or(0, |(vma, _)| vma.end).min(task_size());
    let all = if method == PagemapMethod::Read {
        None
    } else {
        Some(scan_all(&pagemap, method, span).context(what)?)
    };
    let (mut own, mut guards) =
        all.as_ref().map_or((&[][..], &[][..]), |all| (&all.own[..], &all.guards[..]));
    for (vma, populated) in vmas {
        // Droppable pages may be dropped at any time; the process has to cope with that.
        if !vma.is_private() || vma.flags.contains(&VmaFlag::Droppable) {
            continue;
        }
        let range = vma.start..vma.end;
        let pages = match method {
            PagemapMethod::Read if !*populated => continue,
            PagemapMethod::Read => read_pagemap(&pagemap, range).context(what)?,
            PagemapMethod::Scan | PagemapMethod::ScanGuards => {
                vma.guards = take_inside(&mut guards, &range);
                take_inside(&mut own, &range)
            }
        };
        if vma.flags.contains(&VmaFlag::Tagged) {
            tagged.extend(pages.iter().cloned());
        }
        let source = if vma.prot & libc::PROT_READ == 0 { forced } else { plain };
        dump_plan.add(owner, source, pages, vma.has_background());
    }
    Ok(tagged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_inside_is_cut_out_in_one_pass(gaps in prop::collection::vec((0u64..4, 1u64..9), 0..20)) {
            // Ranges with gaps, and mappings that tile the same space: no page is lost or
            // duplicated.
            let mut at = 0;
            let mut ranges = Vec::new();
            for (gap, len) in gaps {
                ranges.push(at + gap..at + gap + len);
                at += gap + len;
            }
            let mut rest = &ranges[..];
            let mut pages: Vec<u64> = Vec::new();
            for start in (0..at).step_by(5) {
                let mapping = start..start + 5;
                let inside = take_inside(&mut rest, &mapping);
                prop_assert!(inside.iter().all(|r| r.start >= mapping.start && r.end <= mapping.end));
                pages.extend(inside.into_iter().flatten());
            }
            let want: Vec<u64> = ranges.iter().cloned().flatten().collect();
            prop_assert_eq!(pages, want);
        }
    }
}
