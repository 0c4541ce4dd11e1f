//! Two processes are blocked in write(2) to a full pipe, one with little data, one with a lot.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes blocked in writing to full pipes: atomic, and partly written",
    needs: &[],
    // A checkpoint interrupts the write, which then returns the length written so far.
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (reader, writer) = fd::pipe(0)?;
    let size = fd::fcntl(&writer, libc::F_GETPIPE_SZ, 0)? as usize;
    fd::write_all(&writer, &pattern::bytes(size, cx.seed))?;
    // Several times what fits into a pipe.
    let large = 4 * size + 37_856;
    let little = fork("the writer of little", || {
        expect_eq("written at once", fd::write_some(&writer, &pattern::bytes(4096, cx.seed + 1))?, 4096usize)
    })?;
    let (large_reader, large_writer) = fd::pipe(0)?;
    let lot =
        fork("the writer of a lot", || fd::write_all(&large_writer, &pattern::bytes(large, cx.seed + 2)))?;
    stage.wait_in(&little, libc::SYS_write)?;
    stage.wait_in(&lot, libc::SYS_write)?;

    cx.ready()?;

    expect_eq("bytes in the full pipe", fd::available(&reader)?, size as i32)?;
    pattern::verify("what was in it", &fd::read_all(&reader, size)?, cx.seed)?;
    pattern::verify("what was waiting", &fd::read_all(&reader, 4096)?, cx.seed + 1)?;
    pattern::verify("the lot", &fd::read_all(&large_reader, large)?, cx.seed + 2)?;
    little.join()?;
    lot.join()?;
    expect_eq("bytes left", (fd::available(&reader)?, fd::available(&large_reader)?), (0, 0))
}
