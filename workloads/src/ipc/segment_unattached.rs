//! Shared memory that is used by its id only: attached before, and again afterwards.

use super::helpers::{Segment, claim};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "System V shared memory that is not attached, named as the job's",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let segment = Segment::with_key(3 * page_size() - 1, 0o600)?;
    claim(cx, &[format!("shm:{}", segment.id)])?;
    let mut memory = segment.attach(0)?;
    pattern::fill(memory.page_mut(1), cx.seed);
    drop(memory);
    let before = segment.told()?;

    cx.ready()?;

    expect_eq("segment", &segment.told()?, &before)?;
    let memory = segment.attach(libc::SHM_RDONLY)?;
    pattern::verify("page", memory.page(1), cx.seed)?;
    pattern::verify_zero("first page", memory.page(0))
}
