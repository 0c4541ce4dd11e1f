//! Touching the page below a MAP_GROWSDOWN mapping extends it, as for custom stacks.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "a mapping made with MAP_GROWSDOWN", needs: &[], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    // Free space below the mapping that nothing else takes: the kernel keeps other mappings 256
    // pages away from one that grows, and below that distance lies a reservation, which does not
    // count as a neighbour.
    let room = Mapping::reserve(1024 * page_size())?;
    let start = room.start() + 1020 * page_size();
    room.punch(820, 204)?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN;
    let mut stack = Mapping::at(start, 4 * page_size(), libc::PROT_READ | libc::PROT_WRITE, flags, None)?;
    pattern::fill(stack.bytes_mut(), cx.seed);

    cx.ready()?;

    pattern::verify("contents", stack.bytes(), cx.seed)?;
    let vma = procfs::vma_at(start)?;
    expect(vma.has("gd"), || format!("the mapping does not grow down: {:?}", vma.flags))?;
    let mut grown = std::mem::ManuallyDrop::new(Mapping::adopt(start - 3 * page_size(), 3 * page_size()));
    for index in (0..3).rev() {
        pattern::fill(grown.page_mut(index), index as u64);
    }
    pattern::verify("contents after growth", stack.bytes(), cx.seed)?;
    for index in 0..3 {
        pattern::verify("grown page", grown.page(index), index as u64)?;
    }
    Ok(())
}
