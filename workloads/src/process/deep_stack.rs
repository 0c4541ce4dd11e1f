//! `ready` is called at the bottom of a deep recursion; every frame checks its own contents on
//! return.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a thousand live stack frames with contents",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const DEPTH: u64 = 1000;

fn run(cx: &mut Ctx) -> Outcome {
    descend(cx, DEPTH)
}

#[inline(never)]
fn descend(cx: &mut Ctx, depth: u64) -> Outcome {
    let mut frame = [0u8; 600];
    pattern::fill(&mut frame, cx.seed + depth);
    let address = std::hint::black_box(&mut frame).as_ptr() as usize;
    if depth == 0 {
        cx.ready()?;
    } else {
        descend(cx, depth - 1)?;
    }
    expect_eq("address of a frame", std::hint::black_box(&frame).as_ptr() as usize, address)?;
    pattern::verify(&format!("frame {depth}"), &frame, cx.seed + depth)
}
