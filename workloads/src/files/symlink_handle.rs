//! A descriptor of a symbolic link itself, not of its target: O_PATH with O_NOFOLLOW.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "an O_PATH descriptor of a symbolic link",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::os::unix::fs::symlink("points nowhere", "link").context("symlink")?;
    let link = fd::open("link", libc::O_PATH | libc::O_NOFOLLOW, 0)?;
    let all = || anyhow::Ok((fd::flags(&link)?, helpers::facts(&link, true)?));
    let want = all()?;

    cx.ready()?;

    expect_eq("flags and attributes", all()?, want)?;
    let shown = std::fs::read_link(format!("/proc/self/fd/{}", link.as_raw_fd())).context("readlink")?;
    expect_eq("path of the link", shown, cx.dir.join("link"))?;
    let mut target = [0u8; 64];
    // SAFETY: an empty path means the descriptor itself; the buffer has as many bytes as the kernel
    // is told.
    let len = sys::check("readlinkat", unsafe {
        libc::readlinkat(link.as_raw_fd(), c"".as_ptr(), target.as_mut_ptr().cast(), target.len())
    })?;
    expect_bytes("what it points to", &target[..len.cast_unsigned()], b"points nowhere")
}
