//! A program copies a file by a ring, over and over, with several requests at once.

use super::helpers::{READ, Request, Ring, WRITE, require};
use crate::framework::prelude::*;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "a program in motion that copies a file by an io_uring",
    needs: &[],
    active: true,
    statik: false,
    run,
};

const BLOCK: usize = 4096;
const AT_ONCE: usize = 4;
const BLOCKS: usize = 16;

fn run(cx: &mut Ctx) -> Outcome {
    require(0)?;
    let (shared, key) = (Shared::new()?, cx.seed);
    let copier = fork("the copier", || {
        let mut ring = Ring::new(8)?;
        let open = |name: &str| fd::open(name, libc::O_RDWR | libc::O_CREAT, 0o600);
        let (from, to) = (open("from")?, open("to")?);
        fd::write_all(&from, &pattern::bytes(BLOCKS * BLOCK, key))?;
        let mut blocks = vec![0u8; AT_ONCE * BLOCK];
        while shared.cell(1).get() == 0 {
            for round in 0..BLOCKS / AT_ONCE {
                blocks.fill(0);
                batch(&mut ring, READ, &from, &mut blocks, round)?;
                batch(&mut ring, WRITE, &to, &mut blocks, round)?;
            }
            pattern::verify("copy", &fd::read_at(&to, BLOCKS * BLOCK, 0)?, key)?;
            shared.number(0).fetch_add(1, SeqCst);
        }
        Ok(())
    })?;
    let copied = |more| sync::wait_for_more("copies", shared.number(0), more);
    copied(3)?;

    cx.ready()?;

    copied(3)?;
    shared.cell(1).set(1);
    copier.join()
}

fn batch(ring: &mut Ring, opcode: u8, file: &OwnedFd, blocks: &mut [u8], round: usize) -> Outcome {
    for (number, block) in blocks.chunks_exact_mut(BLOCK).enumerate() {
        let (address, offset) =
            (block.as_mut_ptr().addr() as u64, ((round * AT_ONCE + number) * BLOCK) as u64);
        let request = Request {
            opcode,
            flags: 0,
            fd: file.as_raw_fd(),
            address,
            len: 4096,
            offset,
            word: number as u64,
        };
        ring.queue(request)?;
    }
    expect_eq("submitted", ring.enter(AT_ONCE as u32, AT_ONCE as u32)?, AT_ONCE as u32)?;
    let mut words = Vec::new();
    for _ in 0..AT_ONCE {
        let (word, result) = ring.take().context("there is no completion")?;
        expect_eq("result", result, 4096)?;
        words.push(word);
    }
    words.sort_unstable();
    expect_eq("words", words, [0, 1, 2, 3])
}
