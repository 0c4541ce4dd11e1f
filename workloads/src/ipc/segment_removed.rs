//! A segment that was removed while two processes have it attached, one at another address. It is
//! gone with the last of them.

use super::helpers::{Segment, of_parent};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "removed System V shared memory, in two processes",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let segment = Segment::with_key(8 * page_size(), 0o600)?;
    let mut memory = segment.attach(0)?;
    for index in 0..8 {
        pattern::fill(memory.page_mut(index), cx.seed + index as u64);
    }
    let (seed, start) = (cx.seed, memory.start());
    let child = stage.fork("the other process", |stage| {
        let segment = of_parent(&segment);
        let mut other = segment.attach(0)?;
        drop(Mapping::adopt(start, 8 * page_size()));
        stage.hold();
        pattern::verify("page that the parent wrote", other.page(0), 7)?;
        pattern::verify("last page in the child", other.page(7), seed + 7)?;
        pattern::fill(other.page_mut(1), 8);
        Ok(())
    })?;
    segment.control(libc::IPC_RMID)?;
    let before = (segment.told()?, procfs::vma_at(start)?.name);
    expect_eq("mode", before.0.mode, 0o1600)?;
    expect_eq("number of mappings", before.0.attached, 2)?;

    cx.ready()?;

    expect_eq(
        "segment and the name of its mapping",
        &(segment.told()?, procfs::vma_at(start)?.name),
        &before,
    )?;
    for index in 0..8 {
        pattern::verify(&format!("page {index}"), memory.page(index), seed + index as u64)?;
    }
    pattern::fill(memory.page_mut(0), 7);
    stage.release();
    child.join()?;
    pattern::verify("page that the child wrote", memory.page(1), 8)?;
    expect_eq("number of mappings at last", segment.told()?.attached, 1)?;
    drop(memory);
    expect(segment.is_gone(), || "the segment is still there".into())
}
