//! malloc(3) in three threads: small, large and mapped blocks with holes between them. Afterwards
//! everything is verified, grown and freed, and the allocator's own checks run over it.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "allocations of all sizes in several arenas, used on afterwards",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static GO: Cell = Cell::new();

/// A block and the key of its contents.
type Block = (Vec<u8>, u64);

fn run(cx: &mut Ctx) -> Outcome {
    let seed = cx.seed;
    let mut threads = Vec::new();
    for number in 1..=2 {
        threads.push(thread::spawn(move || {
            let blocks = allocate(seed + number * 1000);
            GO.block_until(1);
            verify_and_grow(blocks)
        })?);
    }
    let blocks = allocate(seed);
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    GO.set(1);
    verify_and_grow(blocks)?;
    threads.into_iter().try_for_each(Thread::join)
}

fn allocate(seed: u64) -> Vec<Block> {
    let mut rng = Rng::new(seed);
    let blocks: Vec<Block> = (0..300)
        .map(|index| {
            // Mostly small, some large, a few above the mmap threshold.
            let len = match index % 50 {
                0 => 200_000,
                1..5 => 10_000 + rng.below(20_000),
                _ => 1 + rng.below(700),
            };
            (pattern::bytes(len as usize, seed + index), seed + index)
        })
        .collect();
    // Every third is freed again.
    blocks.into_iter().enumerate().filter(|(index, _)| index % 3 != 0).map(|(_, block)| block).collect()
}

fn verify_and_grow(mut blocks: Vec<Block>) -> Outcome {
    for (block, key) in &blocks {
        pattern::verify("block", block, *key)?;
    }
    for (block, key) in &mut blocks {
        let old = block.len();
        block.resize(old + 1000, 0xee);
        pattern::verify("grown block", &block[..old], *key)?;
    }
    Ok(())
}
