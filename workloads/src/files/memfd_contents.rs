//! Files in memory that never had a name: contents, holes, size, mode, times, and every descriptor.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::{AsFd as _, AsRawFd as _};

pub const WORKLOAD: Workload = Workload {
    purpose: "a memfd: name, contents with holes, mode, and descriptions of every access mode",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Beyond it the file is a hole.
const LEN: usize = 3 << 16;
const SIZE: i64 = 1 << 30;

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let file = helpers::memfd(c"with contents", libc::MFD_ALLOW_SEALING)?;
    fd::write_all(&file, &pattern::bytes(LEN, cx.seed))?;
    nix::unistd::ftruncate(file.as_fd(), SIZE).context("ftruncate")?;
    nix::sys::stat::fchmod(&file, nix::sys::stat::Mode::from_bits_retain(0o640)).context("fchmod")?;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let reader = fd::open(&link, libc::O_RDONLY | libc::O_CLOEXEC, 0)?;
    let writer = fd::open(&link, libc::O_WRONLY | libc::O_APPEND, 0)?;
    let handle = fd::open(&link, libc::O_PATH, 0)?;
    let empty = helpers::memfd(c"", libc::MFD_CLOEXEC)?;
    // As long as the kernel allows, and as odd.
    let odd = std::ffi::CString::new(vec![b'\n'; 240].into_iter().chain(*b"/../x").collect::<Vec<_>>())?;
    let odd = helpers::memfd(&odd, 0)?;
    fd::seek(&file, 77, libc::SEEK_SET)?;
    let child = stage.fork("the child", |stage| {
        let own = helpers::memfd(c"with contents", 0)?;
        fd::write_all(&own, b"its own")?;
        stage.hold();
        expect_eq("offset of the root", fd::offset(&file)?, 78)?;
        expect_bytes("contents of its own", &fd::read_at(&own, 7, 0)?, b"its own")
    })?;
    stage.wait_held(&child)?;
    let facts = helpers::facts(&file, false)?;
    let times = |file| fd::stat(file).map(|s| (s.st_mtime, s.st_mtime_nsec));
    let flags = [&file, &reader, &writer, &handle].map(|file| fd::flags(file).ok());
    let before = (facts, times(&file)?, fd::stat(&file)?.st_blocks);

    cx.ready()?;

    let now = (helpers::facts(&file, false)?, times(&file)?, fd::stat(&file)?.st_blocks);
    expect_eq("size, mode, owner, links; times; blocks", now, before)?;
    for (what, file, name) in [("file", &file, "with contents"), ("empty", &empty, "")] {
        expect_eq(what, helpers::link_of(file)?, format!("/memfd:{name} (deleted)"))?;
    }
    expect(helpers::link_of(&odd)?.ends_with("\n/../x (deleted)"), || "name of the odd one".into())?;
    let inodes = [&file, &reader, &writer, &handle].map(|file| helpers::inode(file).ok());
    expect(inodes.iter().all(|inode| *inode == inodes[0]), || format!("inodes {inodes:?}"))?;
    expect_eq("flags", [&file, &reader, &writer, &handle].map(|file| fd::flags(file).ok()), flags)?;
    expect_eq("close-on-exec", (fd::cloexec(&reader)?, fd::cloexec(&writer)?), (true, false))?;
    expect_eq("seals", helpers::seals(&file)?, 0)?;
    expect_eq("seals of one that cannot be sealed", helpers::seals(&empty)?, libc::F_SEAL_SEAL)?;
    pattern::verify("contents", &fd::read_at(&reader, LEN, 0)?, cx.seed)?;
    pattern::verify_zero("hole", &fd::read_at(&reader, LEN, SIZE - LEN as i64)?)?;
    fd::read_all(&file, 1)?;
    stage.release();
    child.join()?;
    fd::write_all(&writer, b"end")?;
    expect_bytes("appended", &fd::read_at(&file, 3, SIZE)?, b"end")
}
