//! A huge page, a part of it split off by mprotect(2) later.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "memory backed by a transparent huge page",
    needs: &[Need::Thp],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let huge = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    let huge: usize = huge.context("read hpage_pmd_size")?.trim().parse()?;
    // Of 64 KiB pages, arm64 makes huge ones of 512 MiB.
    if huge > 64 << 20 {
        return skip("a huge page is larger than 64 MiB");
    }
    let split = (huge / page_size() / 2).min(100);
    let room = Mapping::private(3 * huge)?;
    room.advise(libc::MADV_HUGEPAGE)?;
    let start = room.start().next_multiple_of(huge);
    let mut memory = std::mem::ManuallyDrop::new(Mapping::adopt(start, huge));
    for index in 0..huge / page_size() {
        memory.page_mut(index)[..64].copy_from_slice(&pattern::bytes(64, cx.seed + index as u64));
    }
    if procfs::vma_at(start)?.kib("AnonHugePages")? == 0 {
        return skip("the kernel gave no huge page");
    }
    memory.protect(split, 1, libc::PROT_READ)?;

    cx.ready()?;

    for index in 0..huge / page_size() {
        pattern::verify(&format!("page {index}"), &memory.page(index)[..64], cx.seed + index as u64)?;
        pattern::verify_zero(&format!("rest of page {index}"), &memory.page(index)[64..])?;
    }
    let vma = procfs::vma_at(start)?;
    expect(vma.has("hg"), || format!("the range has lost its hg flag: {:?}", vma.flags))?;
    expect_eq(
        "protection of the split page",
        procfs::vma_at(start + split * page_size())?.perms.as_str(),
        "r--p",
    )
}
