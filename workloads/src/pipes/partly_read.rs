//! A pipe written and read alternately: its buffers start in the middle and end in the middle.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pipe whose first buffer is partly read and whose buffers are partly filled",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(libc::O_NONBLOCK)?;
    let mut rng = Rng::new(cx.seed);
    let (mut put, mut got) = (Vec::new(), 0usize);
    // Odd lengths do not share pages: the slots run out before the bytes do.
    for _ in 0..40 {
        let part = pattern::bytes(1 + rng.below(3999) as usize, rng.word());
        match fd::write_some(&writer, &part) {
            Ok(done) => put.extend_from_slice(&part[..done]),
            Err(e) if sys::errno_in(&e) == Some(libc::EAGAIN) => break,
            Err(e) => return Err(e),
        }
        let out = fd::read_some(&reader, rng.below(500) as usize)?;
        expect_bytes("while building", &out, &put[got..got + out.len()])?;
        got += out.len();
    }

    cx.ready()?;

    let left = put.len() - got;
    expect_eq("bytes available", fd::available(&reader)?, left as i32)?;
    expect_bytes("pipe", &fd::read_all(&reader, left)?, &put[got..])?;
    expect_eq("errno of read", fd::errno("read", fd::read_some(&reader, 1))?, libc::EAGAIN)
}
