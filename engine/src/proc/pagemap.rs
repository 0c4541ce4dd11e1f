//! `/proc/PID/pagemap`: one 64-bit entry for each page of the address space, decoded and gathered into runs. Pure.
//!
//! Source: Documentation/admin-guide/mm/pagemap.rst, and `pte_to_pagemap_entry` in fs/proc/task_mmu.c, Linux 5.10 to 7.x.

use bitflags::bitflags;

/// Bytes of one entry.
pub const ENTRY_LEN: usize = 8;

bitflags! {
    /// The flag bits of an entry, at the kernel's own places.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PageFlags: u64 {
        /// In memory
        const PRESENT = 1 << 63;
        /// In swap, or an entry of the kernel's that looks so: a page on the move, a guard page, a page that
        /// userfaultfd protects
        const SWAPPED = 1 << 62;
        /// The page belongs to a file or to shared memory. A present page of a private file mapping without it is a
        /// copy of the process's own.
        const FILE = 1 << 61;
        /// Guard page (MADV_GUARD_INSTALL): touching it is fatal. Since 6.15; in 6.13 and 6.14 guard pages exist and
        /// look like swapped ones. `SWAPPED` is set too.
        const GUARD = 1 << 58;
        /// Write-protected by userfaultfd, since 5.14
        const UFFD_WP = 1 << 57;
        /// Mapped exactly once, since 4.2
        const EXCLUSIVE = 1 << 56;
        /// Written to since the soft-dirty bits were cleared, or in a mapping made since; 0 where the kernel has no
        /// soft-dirty bit
        const SOFT_DIRTY = 1 << 55;
    }
}

/// Bits of page frame number, or of swap type and offset.
const FRAME_BITS: u32 = 55;
/// Bits of the swap type within them.
const SWAP_TYPE_BITS: u32 = 5;

/// One entry, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageEntry(pub u64);

impl PageEntry {
    pub fn flags(self) -> PageFlags {
        PageFlags::from_bits_truncate(self.0)
    }

    /// Is there something to read at this page that its mapping alone does not give?
    ///
    /// True for pages in memory and in swap, guard pages excepted. For a private mapping of a file add the condition
    /// `!FILE`: other pages are the file's.
    pub fn is_populated(self) -> bool {
        self.flags().intersects(PageFlags::PRESENT | PageFlags::SWAPPED)
            && !self.flags().contains(PageFlags::GUARD)
    }

    /// Number of the physical page. None when it is not in memory; 0 for readers without CAP_SYS_ADMIN.
    pub fn pfn(self) -> Option<u64> {
        self.flags().contains(PageFlags::PRESENT).then(|| self.frame())
    }

    /// Swap area and offset in it. None when the page is not in swap.
    pub fn swap(self) -> Option<(u8, u64)> {
        let in_swap = self.flags().contains(PageFlags::SWAPPED) && !self.flags().contains(PageFlags::PRESENT);
        in_swap.then(|| {
            let area = self.frame() & ((1 << SWAP_TYPE_BITS) - 1);
            (area as u8, self.frame() >> SWAP_TYPE_BITS)
        })
    }

    fn frame(self) -> u64 {
        self.0 & ((1 << FRAME_BITS) - 1)
    }
}

/// The entries in what was read from the file, which is in the byte order of the machine. An incomplete entry at
/// the end is left out; the kernel never returns one.
pub fn entries(bytes: &[u8]) -> impl ExactSizeIterator<Item = PageEntry> + '_ {
    bytes.as_chunks::<ENTRY_LEN>().0.iter().map(|raw| PageEntry(u64::from_ne_bytes(*raw)))
}

/// Where the entry for `address` is in the file, in bytes.
pub fn entry_offset(address: u64, page_size: u64) -> u64 {
    address / page_size * ENTRY_LEN as u64
}

/// Neighbouring pages that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First address
    pub start: u64,
    /// One past the last address
    pub end: u64,
    /// What the pages have in common, of the flags asked for
    pub flags: PageFlags,
}

impl Run {
    /// Bytes
    pub fn size(&self) -> u64 {
        self.end - self.start
    }
}

/// Gathers entries of consecutive pages, the first one at `start`, into the longest runs whose pages agree in the flags
/// of `mask`. Pages with none of these flags are left out, so the runs ascend with gaps between.
pub fn runs<I>(start: u64, page_size: u64, mask: PageFlags, entries: I) -> Runs<I::IntoIter>
where
    I: IntoIterator<Item = PageEntry>,
{
    Runs { entries: entries.into_iter(), address: start, page_size, mask, ahead: None }
}

/// See [`runs`].
#[derive(Clone, Debug)]
pub struct Runs<I> {
    entries: I,
    /// Address of the next entry
    address: u64,
    page_size: u64,
    mask: PageFlags,
    /// First page of the next run, when the end of the one before was found by it
    ahead: Option<Run>,
}

impl<I: Iterator<Item = PageEntry>> Iterator for Runs<I> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let mut current = self.ahead.take();
        for entry in self.entries.by_ref() {
            let flags = entry.flags() & self.mask;
            let start = self.address;
            self.address += self.page_size;
            match &mut current {
                Some(run) if run.flags == flags => run.end = self.address,
                Some(run) => {
                    if !flags.is_empty() {
                        self.ahead = Some(Run { start, end: self.address, flags });
                    }
                    return Some(*run);
                }
                None if flags.is_empty() => {}
                None => current = Some(Run { start, end: self.address, flags }),
            }
        }
        current
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const FILE: u64 = 1 << 61;
    const GUARD: u64 = 1 << 58;

    /// Entries as a reader with and without CAP_SYS_ADMIN gets them.
    #[rstest]
    #[case::nothing(0, PageFlags::empty(), None, None, false)]
    #[case::anonymous(0x8180_0000_0011_d2b4, PageFlags::PRESENT | PageFlags::EXCLUSIVE | PageFlags::SOFT_DIRTY,
        Some(0x11_d2b4), None, true)]
    #[case::hidden_frame(0x8180_0000_0000_0000, PageFlags::PRESENT | PageFlags::EXCLUSIVE | PageFlags::SOFT_DIRTY,
        Some(0), None, true)]
    #[case::of_a_file(0xa000_0000_0010_6f1c, PageFlags::PRESENT | PageFlags::FILE, Some(0x10_6f1c), None, true)]
    #[case::swapped(0x4000_0000_0000_0000 | 0x1234 << 5 | 3, PageFlags::SWAPPED, None, Some((3, 0x1234)), true)]
    #[case::guard(0x4400_0000_0000_001f, PageFlags::SWAPPED | PageFlags::GUARD, None, Some((31, 0)), false)]
    fn decodes(
        #[case] raw: u64,
        #[case] flags: PageFlags,
        #[case] pfn: Option<u64>,
        #[case] swap: Option<(u8, u64)>,
        #[case] populated: bool,
    ) {
        let entry = PageEntry(raw);
        assert_eq!(entry.flags(), flags);
        assert_eq!(entry.pfn(), pfn);
        assert_eq!(entry.swap(), swap);
        assert_eq!(entry.is_populated(), populated);
    }

    #[test]
    fn reads_entries_in_native_order() {
        let mut bytes = Vec::new();
        bytes.extend(PRESENT.to_ne_bytes());
        bytes.extend(7u64.to_ne_bytes());
        bytes.extend([1, 2, 3]);
        assert_eq!(entries(&bytes).collect::<Vec<_>>(), [PageEntry(PRESENT), PageEntry(7)]);
        assert_eq!(entry_offset(0x7fff_f000, 4096), 0x7_ffff * 8);
    }

    #[test]
    fn gathers_like_pages() {
        let pages = [0, PRESENT | 5, PRESENT | 9, PRESENT | FILE, 0, 0, SWAPPED, SWAPPED | GUARD, PRESENT];
        let mask = PageFlags::PRESENT | PageFlags::SWAPPED | PageFlags::FILE | PageFlags::GUARD;
        let found: Vec<_> = runs(0x10000, 0x1000, mask, pages.map(PageEntry)).collect();
        let run = |start, end, flags| Run { start, end, flags };
        assert_eq!(
            found,
            [
                run(0x11000, 0x13000, PageFlags::PRESENT),
                run(0x13000, 0x14000, PageFlags::PRESENT | PageFlags::FILE),
                run(0x16000, 0x17000, PageFlags::SWAPPED),
                run(0x17000, 0x18000, PageFlags::SWAPPED | PageFlags::GUARD),
                run(0x18000, 0x19000, PageFlags::PRESENT),
            ]
        );
        let coarse: Vec<_> = runs(0x10000, 0x1000, PageFlags::PRESENT, pages.map(PageEntry)).collect();
        assert_eq!(
            coarse,
            [run(0x11000, 0x14000, PageFlags::PRESENT), run(0x18000, 0x19000, PageFlags::PRESENT)]
        );
    }

    proptest! {
        /// Every page is in exactly the run that its flags call for, and no two neighbouring runs are alike.
        #[test]
        fn runs_cover_each_page_once(
            pages in prop::collection::vec(prop::sample::select(vec![0, PRESENT, PRESENT | FILE, SWAPPED]), 0..200),
            mask in any::<u64>().prop_map(PageFlags::from_bits_truncate),
        ) {
            let found: Vec<Run> = runs(0, 1, mask, pages.iter().copied().map(PageEntry)).collect();
            for (at, &page) in pages.iter().enumerate() {
                let at = at as u64;
                let flags = PageEntry(page).flags() & mask;
                let around: Vec<_> = found.iter().filter(|run| run.start <= at && at < run.end).collect();
                if flags.is_empty() {
                    prop_assert!(around.is_empty());
                } else {
                    prop_assert_eq!(around.len(), 1);
                    prop_assert_eq!(around[0].flags, flags);
                }
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
                prop_assert!(pair[0].end < pair[1].start || pair[0].flags != pair[1].flags);
            }
        }
    }
}
