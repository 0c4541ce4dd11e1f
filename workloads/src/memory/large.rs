//! Large enough that buffers wrap and several reads are needed. All pages are equal except for a
//! number of their own at an offset of their own.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "64 MiB of memory, every page different",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const LEN: usize = 64 << 20;

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::private(LEN)?;
    let common = pattern::bytes(page_size(), cx.seed);
    for (index, page) in memory.bytes_mut().chunks_exact_mut(page_size()).enumerate() {
        page.copy_from_slice(&common);
        page[place(index)..][..8].copy_from_slice(&(index as u64).to_le_bytes());
    }

    cx.ready()?;

    let mut want = common.clone();
    for (index, page) in memory.bytes().chunks_exact(page_size()).enumerate() {
        let at = place(index);
        want[at..][..8].copy_from_slice(&(index as u64).to_le_bytes());
        expect_bytes(&format!("page {index}"), page, &want)?;
        want[at..][..8].copy_from_slice(&common[at..][..8]);
    }
    Ok(())
}

/// Offset of the page's number.
fn place(index: usize) -> usize {
    index * 8 % page_size()
}
