//! After fork(2) parent and child share pages until one writes. Later writes are private.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "pages shared copy-on-write between parent and children",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::private(32 * page_size())?;
    let signal = Shared::new()?;
    pattern::fill(memory.bytes_mut(), cx.seed);
    let (seed, start) = (cx.seed, memory.start());
    let mut children = Vec::new();
    for number in 1..=2u64 {
        children.push(fork("child", || {
            let mut view = Mapping::adopt(start, 32 * page_size());
            pattern::fill(view.page_mut(number as usize), number);
            signal.cell(0).block_until(1);
            pattern::verify("page written by this child", view.page(number as usize), number)?;
            pattern::fill(view.page_mut(20), number);
            for index in (0..32).filter(|i| *i != 20 && *i != number as usize) {
                // The middle of the pattern is checked through a whole copy.
                let want =
                    &pattern::bytes(32 * page_size(), seed)[index * page_size()..(index + 1) * page_size()];
                expect_bytes(&format!("page {index} of child {number}"), view.page(index), want)?;
            }
            Ok(())
        })?);
    }
    pattern::fill(memory.page_mut(5), 5);
    for child in &children {
        child.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    signal.cell(0).set(1);
    children.into_iter().try_for_each(Child::join)?;
    pattern::verify("page written by the parent", memory.page(5), 5)?;
    let want = pattern::bytes(32 * page_size(), seed);
    for index in (0..32).filter(|i| *i != 5) {
        expect_bytes(
            &format!("page {index}"),
            memory.page(index),
            &want[index * page_size()..(index + 1) * page_size()],
        )?;
    }
    Ok(())
}
