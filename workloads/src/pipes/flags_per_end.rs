//! The two ends have different status flags and close-on-exec.

use crate::framework::prelude::*;
use std::os::fd::OwnedFd;

pub const WORKLOAD: Workload = Workload {
    purpose: "status flags and close-on-exec of each end of a pipe",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut pipes = Vec::new();
    for index in 0..4 {
        let (reader, writer) = fd::pipe(0)?;
        fd::fcntl(&reader, libc::F_SETFL, if index & 1 == 0 { 0 } else { libc::O_NONBLOCK })?;
        fd::fcntl(
            &writer,
            libc::F_SETFL,
            if index & 2 == 0 { 0 } else { libc::O_NONBLOCK | libc::O_DIRECT },
        )?;
        fd::fcntl(&reader, libc::F_SETFD, if index & 2 == 0 { libc::FD_CLOEXEC } else { 0 })?;
        pipes.push((reader, writer));
    }
    let facts = |end: &OwnedFd| anyhow::Ok((fd::flags(end)?, fd::cloexec(end)?));
    let all =
        || pipes.iter().map(|(r, w)| anyhow::Ok((facts(r)?, facts(w)?))).collect::<anyhow::Result<Vec<_>>>();
    let want = all()?;

    cx.ready()?;

    expect_eq("flags and close-on-exec by pipe and end", all()?, want)?;
    expect_eq("errno of read", fd::errno("read", fd::read_some(&pipes[1].0, 1))?, libc::EAGAIN)
}
