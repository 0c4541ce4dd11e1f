//! Descriptors of directories, used to reach files: openat, fchdir, and one with O_PATH.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "directory descriptors and O_PATH descriptors",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::create_dir_all("outer/inner").context("mkdir")?;
    helpers::make("outer/inner/file", 333, cx.seed)?;
    let outer = fd::open("outer", libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC, 0)?;
    let inner = fd::open("outer/inner", libc::O_PATH | libc::O_DIRECTORY, 0)?;
    let file = fd::open("outer/inner/file", libc::O_PATH, 0)?;
    let all = || [&outer, &inner, &file].map(|f| (fd::flags(f).ok(), helpers::facts(f, true).ok()));
    let want = all();

    cx.ready()?;

    expect_eq("flags and attributes", all(), want)?;
    for (directory, path) in [(&outer, c"inner/file"), (&inner, c"file")] {
        // SAFETY: the path is a C string.
        let opened = sys::check("openat", unsafe {
            libc::openat(directory.as_raw_fd(), path.as_ptr(), libc::O_RDONLY)
        })?;
        helpers::verify("file reached by openat", &opened, 333, cx.seed)?;
    }
    expect_eq("reading a path", fd::errno("read", fd::read_some(&file, 1))?, libc::EBADF)?;
    let again = fd::open(format!("/proc/self/fd/{}", file.as_raw_fd()), libc::O_RDONLY, 0)?;
    helpers::verify("file reopened by its path descriptor", &again, 333, cx.seed)?;
    nix::unistd::fchdir(&inner).context("fchdir")?;
    expect_eq("current directory", std::env::current_dir()?, cx.dir.join("outer/inner"))
}
