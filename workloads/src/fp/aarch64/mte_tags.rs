//! Every sixteen bytes of memory have a tag of four bits, visible to special instructions only. An
//! access through an address with another tag raises SIGSEGV.

use super::mte_modes::{ENABLE, PR_GET_TAGGED_ADDR_CTRL, PR_SET_TAGGED_ADDR_CTRL, SYNC, tags};
use super::{Feature, prctl};
use crate::framework::prelude::*;
use std::arch::asm;

pub const WORKLOAD: Workload = Workload {
    purpose: "memory with tags, private and shared",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Bytes that have one tag.
const GRANULE: usize = 16;
const PAGES: usize = 6;
/// A page that is not touched, one with tags and zeros, one with data and the tag zero.
const UNTOUCHED: usize = 2;
const ZEROS: usize = 3;
const UNTAGGED: usize = 4;

fn run(cx: &mut Ctx) -> Outcome {
    if !Feature::Mte.here() {
        return skip("the machine has no memory tags");
    }
    let mode = ENABLE | SYNC | tags(0xfffe);
    prctl(PR_SET_TAGGED_ADDR_CTRL, mode, 0)?;
    let mode = prctl(PR_GET_TAGGED_ADDR_CTRL, 0, 0)?;
    let prot = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_MTE;
    let mut ranges = Vec::new();
    for (number, sharing) in [(1, libc::MAP_PRIVATE), (2, libc::MAP_SHARED)] {
        let memory = Mapping::new(PAGES * page_size(), prot, sharing | libc::MAP_ANONYMOUS, None)?;
        granules(cx.seed + number, &memory, |granule| {
            if granule.page != UNTOUCHED {
                granule.write();
            }
            Ok(())
        })?;
        granules(cx.seed + number, &memory, |granule| {
            if granule.page == UNTOUCHED { Ok(()) } else { granule.verify().context("before") }
        })?;
        ranges.push((cx.seed + number, memory));
    }

    cx.ready()?;

    expect_eq("mode of the checks", prctl(PR_GET_TAGGED_ADDR_CTRL, 0, 0)?, mode)?;
    for (key, memory) in &ranges {
        expect(procfs::vma_at(memory.start())?.has("mt"), || "the mapping has lost its tags".into())?;
        granules(*key, memory, Granule::verify)?;
        dies_by_wrong_tag(memory.start() + 5 * page_size())?;
    }
    // New tags still work.
    let (key, memory) = &ranges[0];
    granules(key + 1000, memory, |granule| {
        granule.write();
        granule.verify()
    })
}

/// Sixteen bytes and their expected contents.
struct Granule {
    address: usize,
    page: usize,
    tag: u64,
    data: [u64; 2],
}

/// Calls `each` for every granule of `memory` with tags and contents of the stream of `key`.
fn granules(key: u64, memory: &Mapping, mut each: impl FnMut(&Granule) -> Outcome) -> Outcome {
    let fine = tags_are_fine()?;
    let mut rng = Rng::new(key);
    for (index, address) in (memory.start()..memory.end()).step_by(GRANULE).enumerate() {
        let page = (address - memory.start()) / page_size();
        let place = if fine { index } else { address / 4096 * 2 + index % 2 };
        let tag = Rng::new(key * 100_000 + place as u64).below(16);
        let data = [rng.word(), rng.word()];
        let tag = if [UNTOUCHED, UNTAGGED].contains(&page) { 0 } else { tag };
        let data = if [UNTOUCHED, ZEROS].contains(&page) { [0; 2] } else { data };
        each(&Granule { address, page, tag, data })?;
    }
    Ok(())
}

/// Whether each granule has its own tag. QEMU 7.2 has two for 4 KiB, those of the even
/// granules and of the odd ones: it forgets the offset in the page when it looks for a tag
/// (`allocation_tag_mem`, target/arm/mte_helper.c; right since 8.0).
fn tags_are_fine() -> anyhow::Result<bool> {
    let prot = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_MTE;
    let memory = Mapping::new(page_size(), prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, None)?;
    let [first, third] = [(0, 5), (2, 9)].map(|(index, tag)| {
        let address = memory.start() + index * GRANULE;
        Granule { address, page: 0, tag, data: [0; 2] }
    });
    first.write();
    third.write();
    Ok(first.verify().is_ok())
}

impl Granule {
    /// Tags the memory, and stores the data through the tagged address.
    fn write(&self) {
        let tagged = self.address as u64 | self.tag << 56;
        let [low, high] = self.data;
        // SAFETY: the granule is mapped, aligned and not shared; the processor has memory tags,
        // as was checked.
        unsafe {
            asm!(
                ".arch_extension memtag", "stg {0}, [{0}]", "stp {1}, {2}, [{0}]",
                in(reg) tagged, in(reg) low, in(reg) high, options(nostack, preserves_flags)
            );
        }
    }

    /// Tag and data must be unchanged.
    fn verify(&self) -> Outcome {
        let mut tagged = self.address as u64;
        let (low, high): (u64, u64);
        // SAFETY: as above. The tag that is loaded is the one that the data is read with.
        unsafe {
            asm!(
                ".arch_extension memtag", "ldg {0}, [{0}]", "ldp {1}, {2}, [{0}]",
                inout(reg) tagged, out(reg) low, out(reg) high, options(nostack, preserves_flags, readonly)
            );
        }
        expect_eq(&format!("tag of {:#x} in page {}", self.address, self.page), tagged >> 56 & 15, self.tag)?;
        expect_eq(&format!("data at {:#x} in page {}", self.address, self.page), [low, high], self.data)
    }
}

/// A child that reads the byte at `address` with a wrong tag must be killed.
fn dies_by_wrong_tag(address: usize) -> Outcome {
    let child = fork("a child with a wrong tag", || {
        let mut tagged = address as u64;
        // SAFETY: the default action replaces the handler of the Rust runtime, in this child only;
        // no core dumps. Anything else only affects a child that exits in any case.
        unsafe {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &none);
            asm!(
                ".arch_extension memtag", "ldg {0}, [{0}]", "eor {0}, {0}, #0x0100000000000000",
                inout(reg) tagged, options(nostack, readonly)
            );
            std::hint::black_box(std::ptr::read_volatile(tagged as *const u8));
        }
        Ok(())
    })?;
    child.join_killed(libc::SIGSEGV)
}
