//! A checkpoint looks into a queue with an offset of its own: that of the program stays.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{MsgFlags, SockFlag, SockType, recv};
use std::os::fd::{AsRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "where the program's own look into a queue goes on (SO_PEEK_OFF), with messages of several borders",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn peek(fd: &OwnedFd, len: usize) -> anyhow::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    let got = recv(fd.as_raw_fd(), &mut buf, flags).context("recv")?;
    buf.truncate(got);
    Ok(buf)
}

fn run(cx: &mut Ctx) -> Outcome {
    let (to_stream, stream) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    let (to_datagrams, datagrams) = helpers::pair(SockType::Datagram, SockFlag::empty())?;
    helpers::send(&to_stream, b"0123456789")?;
    for text in [&b"first"[..], b"second", b"third"] {
        helpers::send(&to_datagrams, text)?;
    }
    for fd in [&stream, &datagrams] {
        option::set(fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, &0i32.to_ne_bytes())?;
    }
    expect_bytes("stream", &peek(&stream, 4)?, b"0123")?;
    expect_bytes("datagrams", &peek(&datagrams, 100)?, b"first")?;

    cx.ready()?;

    expect_bytes("stream", &peek(&stream, 4)?, b"4567")?;
    expect_bytes("datagrams", &peek(&datagrams, 100)?, b"second")?;
    expect_bytes("received from the stream", &helpers::receive(&stream)?, b"0123456789")?;
    expect_bytes("the first datagram", &helpers::receive(&datagrams)?, b"first")?;
    expect_bytes("the second datagram", &helpers::receive(&datagrams)?, b"second")
}
