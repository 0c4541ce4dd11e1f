//! Two megabytes in one page, a part of it split off by mprotect(2) later.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    name: "huge-transparent",
    group: "memory",
    purpose: "memory backed by a transparent huge page",
    needs: &[Need::Thp],
    moving: false,
    statik: false,
    run,
};

const HUGE: usize = 2 << 20;

fn run(cx: &mut Ctx) -> Outcome {
    let room = Mapping::private(3 * HUGE)?;
    room.advise(libc::MADV_HUGEPAGE)?;
    let start = room.start().next_multiple_of(HUGE);
    let mut memory = std::mem::ManuallyDrop::new(Mapping::adopt(start, HUGE));
    for index in 0..HUGE / PAGE {
        memory.page_mut(index)[..64].copy_from_slice(&pattern::bytes(64, cx.seed + index as u64));
    }
    if procfs::vma_at(start)?.kib("AnonHugePages")? == 0 {
        return skip("the kernel gave no huge page");
    }
    memory.protect(100, 1, libc::PROT_READ)?;

    cx.ready()?;

    for index in 0..HUGE / PAGE {
        pattern::verify(&format!("page {index}"), &memory.page(index)[..64], cx.seed + index as u64)?;
        pattern::verify_zero(&format!("rest of page {index}"), &memory.page(index)[64..])?;
    }
    let vma = procfs::vma_at(start)?;
    expect(vma.has("hg"), || format!("the range has lost its hg flag: {:?}", vma.flags))?;
    expect_eq("protection of the split page", procfs::vma_at(start + 100 * PAGE)?.perms.as_str(), "r--p")
}
