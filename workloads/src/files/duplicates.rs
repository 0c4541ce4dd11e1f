//! Descriptors made by dup share offset and status flags, but not close-on-exec.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "dup'ed descriptors remain one open file description",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let file = helpers::make("file", 5000, cx.seed)?;
    let copies = [fd::dup(&file)?, fd::dup_to(&file, 90, libc::O_CLOEXEC)?, fd::dup_to(&file, 33, 0)?];
    fd::seek(&file, 1000, libc::SEEK_SET)?;

    cx.ready()?;

    for (index, copy) in copies.iter().enumerate() {
        expect_eq(&format!("offset of copy {index}"), fd::offset(copy)?, 1000 + index as i64 * 100)?;
        let want = &pattern::bytes(5000, cx.seed)[1000 + index * 100..][..100];
        expect_bytes("read through the copy", &fd::read_all(copy, 100)?, want)?;
        expect_eq("offset of the original", fd::offset(&file)?, 1100 + index as i64 * 100)?;
    }
    let closed = copies.iter().map(fd::cloexec).collect::<anyhow::Result<Vec<_>>>()?;
    expect_eq("close-on-exec", closed, vec![false, true, false])?;
    fd::fcntl(&copies[1], libc::F_SETFL, libc::O_APPEND)?;
    expect_eq("append flag of the original", fd::flags(&file)? & libc::O_APPEND, libc::O_APPEND)
}
