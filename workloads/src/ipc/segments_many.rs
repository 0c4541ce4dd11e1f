//! Many segments at once, each with a page that is its own.

use super::helpers::Segment;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "sixty-four System V shared memory segments",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    const COUNT: u64 = 64;
    let segments: Vec<(Segment, Mapping)> = (0..COUNT)
        .map(|index| {
            let segment = Segment::private(page_size(), 0o600)?;
            let mut memory = segment.attach(0)?;
            pattern::fill(memory.page_mut(0), cx.seed + index);
            anyhow::Ok((segment, memory))
        })
        .collect::<Result<_, _>>()?;
    let told = || segments.iter().map(|(segment, _)| segment.told()).collect::<anyhow::Result<Vec<_>>>();
    let before = told()?;

    cx.ready()?;

    expect_eq("segments", &told()?, &before)?;
    for ((_, memory), index) in segments.iter().zip(0..) {
        pattern::verify(&format!("segment {index}"), memory.page(0), cx.seed + index)?;
    }
    Ok(())
}
