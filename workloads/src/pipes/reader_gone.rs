//! A pipe without a reader: writing fails, and the bytes in it are lost.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a write end without a reader: EPIPE and SIGPIPE",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(0)?;
    fd::write_all(&writer, b"never read")?;
    drop(reader);
    let (reader, other) = fd::pipe(libc::O_NONBLOCK)?;
    drop(reader);
    signal::block(&[libc::SIGPIPE])?;
    signal::default(libc::SIGPIPE)?;

    cx.ready()?;

    for end in [&writer, &other] {
        expect_eq("poll", fd::ready_for(end, libc::POLLOUT)? & libc::POLLERR, libc::POLLERR)?;
        expect_eq("errno of write", fd::errno("write", fd::write_some(end, b"x"))?, libc::EPIPE)?;
        let info = signal::take(&[libc::SIGPIPE])?.context("no SIGPIPE is pending")?;
        expect_eq("code of SIGPIPE", info.code(), libc::SI_USER)?;
    }
    Ok(())
}
