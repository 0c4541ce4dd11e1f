//! MAP_DROPPABLE (6.11 on): each page has its contents or zeros, and the kind of the mapping
//! stays.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "memory that the kernel may drop under pressure",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// include/uapi/linux/mman.h of 6.11.
const MAP_DROPPABLE: i32 = 0x08;

fn run(cx: &mut Ctx) -> Outcome {
    let flags = MAP_DROPPABLE | libc::MAP_ANONYMOUS;
    let Ok(mut memory) = Mapping::new(4 * page_size(), libc::PROT_READ | libc::PROT_WRITE, flags, None)
    else {
        return skip("the kernel has no MAP_DROPPABLE");
    };
    for index in 0..4 {
        pattern::fill(memory.page_mut(index), cx.seed + index as u64);
    }
    let before = procfs::vma_at(memory.start())?;

    cx.ready()?;

    let now = procfs::vma_at(memory.start())?;
    expect_eq("protection and flags", (now.perms, now.flags), (before.perms, before.flags))?;
    for index in 0..4 {
        pattern::verify("page", memory.page(index), cx.seed + index as u64)
            .or_else(|error| pattern::verify_zero("page", memory.page(index)).map_err(|_| error))?;
    }
    Ok(())
}
