//! The initial stack is extended page by page as it is used, down to its limit. That must work
//! after a restart, too.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the main stack grows further by itself",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    deep(20);
    let before = stack()?;

    cx.ready()?;

    let now = stack()?;
    expect_eq("top of the stack", now.end, before.end)?;
    expect(now.has("gd"), || format!("the stack does not grow down: {:?}", now.flags))?;
    expect_eq("deep recursion", deep(600), (0..=600).sum::<u64>())?;
    expect(stack()?.start < now.start.min(before.start), || "the stack has not grown".into())
}

/// Uses about a KiB of stack for each level.
#[inline(never)]
fn deep(levels: u64) -> u64 {
    let mut frame = [levels; 128];
    std::hint::black_box(&mut frame);
    if levels == 0 { 0 } else { frame[5] + deep(levels - 1) }
}

fn stack() -> anyhow::Result<procfs::Vma> {
    procfs::smaps()?.into_iter().find(|v| v.name == "[stack]").context("no mapping is named [stack]")
}
