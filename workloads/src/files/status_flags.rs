//! Files opened with different status flags, and some changed afterwards.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "file status flags: append, nonblock, sync, dsync, noatime, direct, async",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    helpers::make("file", 5000, cx.seed)?;
    let cases = [
        libc::O_RDONLY,
        libc::O_RDWR | libc::O_APPEND,
        libc::O_WRONLY | libc::O_NONBLOCK,
        libc::O_RDWR | libc::O_SYNC,
        libc::O_RDWR | libc::O_DSYNC,
        libc::O_RDONLY | libc::O_NOATIME,
        libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NOCTTY,
        libc::O_RDWR | libc::O_APPEND | libc::O_NONBLOCK | libc::O_SYNC | libc::O_CLOEXEC,
        libc::O_RDONLY | libc::O_DIRECT,
        libc::O_RDWR | libc::O_CREAT,
    ];
    let mut files = Vec::new();
    for flags in cases {
        match fd::open("file", flags, 0o600) {
            // Not every file system can bypass the page cache.
            Err(e) if flags & libc::O_DIRECT != 0 && sys::errno_in(&e) == Some(libc::EINVAL) => {}
            file => files.push(file?),
        }
    }
    fd::fcntl(&files[0], libc::F_SETFL, libc::O_NONBLOCK)?;
    fd::fcntl(&files[1], libc::F_SETFL, 0)?;
    let all =
        || files.iter().map(|f| Ok((fd::flags(f)?, fd::cloexec(f)?))).collect::<anyhow::Result<Vec<_>>>();
    let want = all()?;

    cx.ready()?;

    expect_eq("flags and close-on-exec", all()?, want)
}
