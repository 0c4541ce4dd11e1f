//! A pipe without a writer: its bytes can be read, then end of file.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a read end without a writer: the bytes, then end of file",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (full, writer) = fd::pipe(0)?;
    fd::write_all(&writer, &pattern::bytes(5000, cx.seed))?;
    drop(writer);
    let (empty, writer) = fd::pipe(0)?;
    drop(writer);

    cx.ready()?;

    let events = libc::POLLIN | libc::POLLHUP;
    expect_eq("poll", fd::ready_for(&full, libc::POLLIN)?, events)?;
    pattern::verify("pipe", &fd::read_to_end(&full)?, cx.seed)?;
    expect_eq("poll at the end", fd::ready_for(&full, libc::POLLIN)?, libc::POLLHUP)?;
    expect_bytes("the empty one", &fd::read_some(&empty, 1)?, b"")?;
    expect_eq("poll of the empty one", fd::ready_for(&empty, libc::POLLIN)?, libc::POLLHUP)
}
