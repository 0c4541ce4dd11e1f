//! SHM_LOCK: a segment that stays in memory, attached or not.

use super::helpers::Segment;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "locked System V shared memory",
    needs: &[Need::Root],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let segment = Segment::private(2 * page_size(), 0o600)?;
    let mut memory = segment.attach(0)?;
    pattern::fill(memory.bytes_mut(), cx.seed);
    segment.control(libc::SHM_LOCK)?;
    let before = segment.told()?;
    expect_eq("mode", before.mode, 0o2600)?;

    cx.ready()?;

    expect_eq("segment", &segment.told()?, &before)?;
    pattern::verify("contents", memory.bytes(), cx.seed)?;
    segment.control(libc::SHM_UNLOCK)?;
    expect_eq("mode after SHM_UNLOCK", segment.told()?.mode, 0o600)
}
