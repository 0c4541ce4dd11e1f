//! Alternating protections keep neighbours from merging.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "two thousand mappings", needs: &[], active: false, statik: false, run };

const COUNT: usize = 2000;

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::private(COUNT * page_size())?;
    for index in (0..COUNT).step_by(7) {
        pattern::fill(&mut memory.page_mut(index)[..128], cx.seed + index as u64);
    }
    for index in (0..COUNT).step_by(2) {
        memory.protect(index, 1, libc::PROT_READ)?;
    }
    let before = super::helpers::layout(memory.start(), memory.end())?;
    expect_eq("mappings", before.len(), COUNT)?;

    cx.ready()?;

    let now = super::helpers::layout(memory.start(), memory.end())?;
    expect_eq("mappings", now.len(), COUNT)?;
    for (now, before) in now.iter().zip(&before) {
        expect_eq("mapping", now, before)?;
    }
    for index in (0..COUNT).step_by(7) {
        pattern::verify("page", &memory.page(index)[..128], cx.seed + index as u64)?;
    }
    Ok(())
}
