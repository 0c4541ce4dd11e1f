//! A segment without a key that parent, child and grandchild have attached; each sees what the
//! others write.

use super::helpers::Segment;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "System V shared memory that was inherited",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let segment = Segment::private(3 * page_size(), 0o600)?;
    let mut memory = segment.attach(0)?;
    pattern::fill(memory.page_mut(0), cx.seed);
    let (seed, start) = (cx.seed, memory.start());
    let view = || std::mem::ManuallyDrop::new(Mapping::adopt(start, 3 * page_size()));
    let child = stage.fork("child", |stage| {
        let grandchild = stage.fork("grandchild", |stage| {
            stage.hold();
            pattern::verify("page of the parent", view().page(0), seed)?;
            pattern::fill(view().page_mut(2), seed + 2);
            Ok(())
        })?;
        stage.hold();
        grandchild.join()?;
        pattern::verify("page of the grandchild", view().page(2), seed + 2)?;
        pattern::fill(view().page_mut(1), seed + 1);
        Ok(())
    })?;
    let before = segment.told()?;
    expect_eq("number of mappings", before.attached, 3)?;

    cx.ready()?;

    expect_eq("segment", &segment.told()?, &before)?;
    stage.release();
    child.join()?;
    pattern::verify("page of the child", memory.page(1), seed + 1)?;
    pattern::verify("page of the grandchild", memory.page(2), seed + 2)?;
    expect_eq("number of mappings at last", segment.told()?.attached, 1)
}
