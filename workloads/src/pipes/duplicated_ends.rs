//! Each end has several descriptors: a pipe ends when the last of them is closed, not before.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "dup'ed pipe ends: shared flags, and no end of file while one writer is left",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(0)?;
    let (reader2, writer2) = (fd::dup(&reader)?, fd::dup_to(&writer, 77, libc::O_CLOEXEC)?);
    fd::write_all(&writer2, b"in flight")?;

    cx.ready()?;

    expect_bytes("through the duplicate", &fd::read_some(&reader2, 3)?, b"in ")?;
    expect_bytes("through the original", &fd::read_some(&reader, 30)?, b"flight")?;
    expect_eq("close-on-exec", (fd::cloexec(&writer)?, fd::cloexec(&writer2)?), (false, true))?;
    fd::fcntl(&reader, libc::F_SETFL, libc::O_NONBLOCK)?;
    expect_eq("flags of the duplicate", fd::flags(&reader2)? & libc::O_NONBLOCK, libc::O_NONBLOCK)?;
    drop(writer);
    expect_eq("one writer left", fd::errno("read", fd::read_some(&reader, 1))?, libc::EAGAIN)?;
    drop(writer2);
    expect_bytes("no writer left", &fd::read_some(&reader, 1)?, b"")
}
