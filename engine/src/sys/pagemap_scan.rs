//! The `PAGEMAP_SCAN` ioctl of /proc/PID/pagemap (Linux 6.7,
//! Documentation/admin-guide/mm/pagemap.rst).

use super::cvt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Page categories, include/uapi/linux/fs.h.
pub const IS_FILE: u64 = 1 << 2;
/// The page is in memory.
pub const IS_PRESENT: u64 = 1 << 3;
/// The page is in swap.
pub const IS_SWAPPED: u64 = 1 << 4;
/// The zero page.
pub const IS_PFNZERO: u64 = 1 << 5;
/// A guard region (Linux 6.15).
pub const IS_GUARD: u64 = 1 << 8;

/// `struct page_region`: a half-open address range whose pages have the same categories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// `IS_*`
    pub categories: u64,
}

#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`
const PAGEMAP_SCAN: u64 = (3 << 30) | ((size_of::<ScanArg>() as u64) << 16) | ((b'f' as u64) << 8) | 16;

/// Where a scan continues. Not simply at `walk_end`: the kernel gathers regions in a buffer of at
/// most `PMD_SIZE / PAGE_SIZE` of them (32 on powerpc with 64 KiB pages), and what it stored when
/// that was last full stays there when the walk then reaches its end (`do_pagemap_scan`,
/// fs/proc/task_mmu.c, Linux 6.7 to 6.12). Regions already reported are not repeated.
fn next_start(arg: &ScanArg, told: &[Region]) -> u64 {
    told.last().map_or(0, |last| last.end).max(arg.walk_end)
}

/// Calls `each` for every region in `[start, end)` whose pages are in one of the categories
/// `any_of` and in `none_of` these, in address order, with the categories among `report` that they
/// are in.
///
/// # Errors
/// ENOTTY before Linux 6.7; EINVAL for a category this kernel does not know.
pub fn scan(
    pagemap: impl AsFd,
    start: u64,
    end: u64,
    any_of: u64,
    none_of: u64,
    report: u64,
    mut each: impl FnMut(Region),
) -> io::Result<()> {
    let mut regions = [Region::default(); 512];
    let mut at = start;
    while at < end {
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start: at,
            end,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            category_inverted: none_of,
            category_mask: none_of,
            category_anyof_mask: any_of,
            return_mask: report,
            ..ScanArg::default()
        };
        // SAFETY: `arg` and `regions` are live and exclusive for the call; `vec_len` is the array's
        // length.
        let n =
            cvt(unsafe { libc::ioctl(pagemap.as_fd().as_raw_fd(), PAGEMAP_SCAN, &mut arg) }.into())? as usize;
        regions[..n].iter().copied().for_each(&mut each);
        at = next_start(&arg, &regions[..n]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_end_of_the_walk_tells_nothing_twice() {
        let region = |start, end| Region { start, end, categories: IS_PRESENT };
        let stale = ScanArg { walk_end: 0x3000, end: 0x9000, ..ScanArg::default() };
        assert_eq!(next_start(&stale, &[region(0x1000, 0x2000), region(0x3000, 0x4000)]), 0x4000);
        let full = ScanArg { walk_end: 0x6000, end: 0x9000, ..ScanArg::default() };
        assert_eq!(next_start(&full, &[region(0x1000, 0x2000), region(0x3000, 0x4000)]), 0x6000);
        let nothing = ScanArg { walk_end: 0x9000, end: 0x9000, ..ScanArg::default() };
        assert_eq!(next_start(&nothing, &[]), 0x9000);
    }
}
