//! One unlinked file through many descriptions: dup, fork, and opens before it lost its name.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "one unlinked file stays one, through every descriptor of every process",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let first = helpers::make("gone", 4000, cx.seed)?;
    let reader = fd::open("gone", libc::O_RDONLY, 0)?;
    let again = fd::open(format!("/proc/self/fd/{}", first.as_raw_fd()), libc::O_WRONLY | libc::O_APPEND, 0)?;
    let child = stage.fork("the child", |stage| {
        let own = fd::open("gone", libc::O_RDWR, 0)?;
        fd::seek(&own, 44, libc::SEEK_SET)?;
        stage.shared().cell(1).set(1);
        stage.hold();
        expect_eq("offset of its own", fd::offset(&own)?, 44)?;
        expect_bytes("written by the root", &fd::read_at(&own, 5, 4000)?, b"added")?;
        expect_eq("inode of its own and the inherited", helpers::inode(&own)?, helpers::inode(&first)?)?;
        fd::write_all(&own, b"by the child")
    })?;
    let copy = fd::dup(&first)?;
    helpers::remove("gone")?;
    fd::seek(&first, 33, libc::SEEK_SET)?;

    cx.ready()?;

    helpers::expect_no_name("gone")?;
    helpers::verify("through the reader", &reader, 4000, cx.seed)?;
    let inodes = [&first, &reader, &again, &copy].map(|file| helpers::inode(file).ok());
    expect(inodes.iter().all(|inode| *inode == inodes[0]), || format!("inodes {inodes:?}"))?;
    expect_eq("offset of the copy", fd::offset(&copy)?, 33)?;
    expect_eq("offset of the reader", fd::offset(&reader)?, 0)?;
    fd::write_all(&again, b"added")?;
    stage.release();
    child.join()?;
    expect_bytes("written by the child", &fd::read_at(&reader, 12, 44)?, b"by the child")
}
