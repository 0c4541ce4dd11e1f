//! Every third page of a range is unmapped. Holes must stay unmapped afterwards.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "unmapped holes between mapped pages", needs: &[], active: false, statik: true, run };

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::private(60 * page_size())?;
    for index in 0..60 {
        pattern::fill(memory.page_mut(index), cx.seed + index as u64);
    }
    for index in (1..60).step_by(3) {
        memory.punch(index, 1)?;
    }
    let before = super::helpers::layout(memory.start(), memory.end())?;

    cx.ready()?;

    expect_eq("layout", super::helpers::layout(memory.start(), memory.end())?, before)?;
    for index in (0..60).filter(|index| index % 3 != 1) {
        pattern::verify("page beside a hole", memory.page(index), cx.seed + index as u64)?;
    }
    super::helpers::dies_reading(memory.start() + page_size(), libc::SIGSEGV)
}
