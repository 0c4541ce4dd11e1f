//! Every thread blocks at the bottom of its own recursion.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "deep stacks of eight threads, each frame with contents",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static GO: Cell = Cell::new();
static DEEP: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let seed = cx.seed;
    let mut threads = Vec::new();
    for number in 0..8 {
        threads.push(thread::spawn(move || descend(seed + number * 1000, 60))?);
    }
    DEEP.wait("all threads at the bottom", 8)?;
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}

#[inline(never)]
fn descend(key: u64, depth: u64) -> Outcome {
    let mut frame = [0u8; 512];
    pattern::fill(std::hint::black_box(&mut frame), key + depth);
    if depth == 0 {
        DEEP.bump();
        GO.block_until(1);
    } else {
        descend(key, depth - 1)?;
    }
    pattern::verify("stack frame", std::hint::black_box(&frame), key + depth)
}
