//! Two processes read one file through one description: each piece goes to exactly one of them.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "a shared offset in motion: two readers, every block read once",
    needs: &[],
    active: true,
    statik: false,
    run,
};

const BLOCK: usize = 64;
const BLOCKS: usize = 4000;

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let file = helpers::make("file", BLOCK * BLOCKS, cx.seed)?;
    let seen = Mapping::shared(BLOCKS.next_multiple_of(page_size()))?;
    let contents = pattern::bytes(BLOCK * BLOCKS, cx.seed);
    let mut readers = Vec::new();
    for index in 0..2 {
        readers.push(fork("a reader", || {
            let mut nth = 0;
            loop {
                // The first half is read before `go`, slowly enough to be found reading.
                if nth == BLOCKS / 4 {
                    shared.cell(0).block_until(1);
                }
                // read(2) of a regular file moves the shared offset under a lock: no block is read
                // twice.
                let block = fd::read_some(&file, BLOCK)?;
                if block.is_empty() {
                    return Ok(());
                }
                let at = contents.chunks(BLOCK).position(|want| want == block).context("a torn block")?;
                // SAFETY: a byte inside of the mapping, which other processes also only touch
                // atomically.
                let count = unsafe { AtomicU8::from_ptr(seen.ptr().add(at)) };
                expect_eq(&format!("times that block {at} was read before"), count.fetch_add(1, SeqCst), 0)?;
                nth += 1;
                shared.number(index).store(nth as u64, SeqCst);
            }
        })?);
    }
    let total = || (shared.number(0).load(SeqCst) + shared.number(1).load(SeqCst)) as usize;
    sync::wait_until("some blocks to be read", || Ok(total() > 10))?;

    cx.ready()?;

    shared.cell(0).set(1);
    readers.into_iter().try_for_each(Child::join)?;
    expect_eq("blocks read", total(), BLOCKS)?;
    expect_bytes("times that each block was read", &seen.bytes()[..BLOCKS], &[1; BLOCKS])
}
