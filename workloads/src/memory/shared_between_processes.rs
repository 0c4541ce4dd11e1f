//! Shared anonymous memory that one child has moved and another has unmapped the first half of.
//! Afterwards a write by any of them is seen by all.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "one shared object in three processes, at different addresses and with different parts",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::shared(8 * page_size())?;
    let signal = Shared::new()?;
    pattern::fill(memory.bytes_mut(), cx.seed);
    let (seed, start) = (cx.seed, memory.start());
    let moved = fork("moving child", || {
        let mut view = super::helpers::remap(Mapping::adopt(start, 8 * page_size()), 8 * page_size())?;
        expect(view.start() != start, || "mremap did not move".into())?;
        signal.cell(0).block_until(1);
        pattern::verify("moved view", &view.bytes()[..7 * page_size()], seed)?;
        pattern::verify("page written by the parent", view.page(7), 7)?;
        pattern::fill(view.page_mut(6), 6);
        Ok(())
    })?;
    let half = fork("child with half", || {
        let view = Mapping::adopt(start, 8 * page_size());
        view.punch(0, 4)?;
        signal.cell(1).block_until(1);
        pattern::verify("page written by the moving child", view.page(6), 6)?;
        pattern::verify("page written by the parent", view.page(7), 7)?;
        let mut view = Mapping::adopt(start + 4 * page_size(), 4 * page_size());
        pattern::fill(view.page_mut(0), 4);
        Ok(())
    })?;
    for child in [&moved, &half] {
        child.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    pattern::verify("parent's view", memory.bytes(), seed)?;
    pattern::fill(memory.page_mut(7), 7);
    signal.cell(0).set(1);
    moved.join()?;
    pattern::verify("page written by the moving child", memory.page(6), 6)?;
    signal.cell(1).set(1);
    half.join()?;
    pattern::verify("page written by the child with half", memory.page(4), 4)
}
