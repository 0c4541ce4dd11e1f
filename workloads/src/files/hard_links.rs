//! One file open under two names: data written through one is read through the other.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "one file under two names stays one file",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let first = helpers::make("first", 500, cx.seed)?;
    std::fs::hard_link("first", "second").context("link")?;
    let second = fd::open("second", libc::O_RDWR, 0)?;

    cx.ready()?;

    expect_eq("inode", helpers::inode(&first)?, helpers::inode(&second)?)?;
    expect_eq("links", fd::stat(&first)?.st_nlink, 2)?;
    for (file, name) in [(&first, "first"), (&second, "second")] {
        let shown = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).context("readlink")?;
        expect_eq("name", shown, cx.dir.join(name))?;
    }
    fd::write_all(&first, b"one file")?;
    expect_bytes("through the other name", &fd::read_some(&second, 8)?, b"one file")
}
