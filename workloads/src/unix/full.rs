//! A stream socket into which nothing more fits.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "a stream socket filled to the last byte, by pieces of different lengths",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = helpers::pair(SockType::Stream, SockFlag::SOCK_NONBLOCK)?;
    let data = pattern::bytes(4 << 20, cx.seed);
    let mut sent = 0;
    let mut lengths = Rng::new(cx.seed);
    loop {
        let len = (1 + lengths.below(5000) as usize).min(data.len() - sent);
        match fd::write_some(&one, &data[sent..sent + len]) {
            Ok(written) => sent += written,
            Err(err) if sys::errno_in(&err) == Some(libc::EAGAIN) => break,
            Err(err) => return Err(err),
        }
    }

    cx.ready()?;

    expect_eq("bytes that wait", fd::available(&other)? as usize, sent)?;
    expect_bytes("all of it", &fd::read_all(&other, sent)?, &data[..sent])?;
    helpers::nothing_left("at the end", &other)?;
    expect(fd::ready_for(&one, libc::POLLOUT)? & libc::POLLOUT != 0, || "there is no room".into())?;
    fd::write_all(&one, b"again")?;
    expect_bytes("afterwards", &fd::read_some(&other, 10)?, b"again")
}
