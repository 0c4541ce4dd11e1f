//! Unlinked files that are open for reading only, for writing only, and for appending.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "access modes of unlinked files, with permissions that would not admit them again",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    helpers::make("reader", 1000, cx.seed)?;
    helpers::make("writer", 1000, cx.seed + 1)?;
    let reader = fd::open("reader", libc::O_RDONLY, 0)?;
    let writer = fd::open("writer", libc::O_WRONLY | libc::O_APPEND, 0)?;
    let checker = fd::open("writer", libc::O_RDONLY, 0)?;
    for name in ["reader", "writer"] {
        std::fs::set_permissions(name, std::os::unix::fs::PermissionsExt::from_mode(0o0)).context("chmod")?;
        helpers::remove(name)?;
    }

    cx.ready()?;

    expect_eq("mode", fd::stat(&reader)?.st_mode & 0o7777, 0u32)?;
    helpers::verify("reader", &reader, 1000, cx.seed)?;
    expect_eq("writing to the reader", fd::errno("write", fd::write_some(&reader, b"x"))?, libc::EBADF)?;
    expect_eq("reading the writer", fd::errno("read", fd::read_some(&writer, 1))?, libc::EBADF)?;
    helpers::verify("writer", &checker, 1000, cx.seed + 1)?;
    fd::write_all(&writer, b"appended")?;
    expect_bytes("end of the written file", &fd::read_at(&checker, 8, 1000)?, b"appended")
}
