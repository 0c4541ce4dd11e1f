//! Segments of which a part was unmapped, protected, or that were moved as a whole.

use super::helpers::Segment;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "System V shared memory of which parts are mapped, with several protections",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let segment = Segment::private(8 * page_size(), 0o600)?;
    let mut memory = segment.attach(0)?;
    pattern::fill(memory.bytes_mut(), cx.seed);
    memory.punch(2, 1)?;
    memory.protect(5, 1, libc::PROT_READ)?;
    memory.protect(6, 1, libc::PROT_NONE)?;
    // Split, although both parts have the same protection again.
    memory.protect(0, 1, libc::PROT_READ)?;
    memory.protect(0, 1, libc::PROT_READ | libc::PROT_WRITE)?;
    let last = segment.attach(0)?;
    last.punch(0, 7)?;
    let moved = crate::memory::helpers::remap(segment.attach(libc::SHM_RDONLY)?, 8 * page_size())?;
    let layout = |at: &Mapping| crate::memory::helpers::layout(at.start(), at.end());
    let all = || anyhow::Ok([layout(&memory)?, layout(&last)?, layout(&moved)?]);
    let before = (segment.told()?, all()?);

    cx.ready()?;

    expect_eq("mappings", &all()?, &before.1)?;
    expect_eq("segment", &segment.told()?, &before.0)?;
    pattern::verify("contents", moved.bytes(), cx.seed)?;
    memory.protect(6, 1, libc::PROT_READ | libc::PROT_WRITE)?;
    let mut view = Mapping::adopt(memory.start() + 6 * page_size(), page_size());
    pattern::fill(view.page_mut(0), 6);
    view.leak();
    pattern::verify("page written afterwards", moved.page(6), 6)?;
    expect_bytes("last page", last.page(7), memory.page(7))
}
