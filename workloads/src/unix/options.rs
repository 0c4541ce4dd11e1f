//! Options of SOL_SOCKET.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "options of sockets: sizes of buffers, time limits, credentials, timestamps, marks",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const INTS: [(i32, i32); 11] = [
    (libc::SO_REUSEADDR, 1),
    (libc::SO_BROADCAST, 1),
    (libc::SO_SNDBUF, 30_000),
    (libc::SO_RCVBUF, 20_000),
    (libc::SO_KEEPALIVE, 1),
    (libc::SO_OOBINLINE, 1),
    (libc::SO_PASSCRED, 1),
    (libc::SO_RCVLOWAT, 17),
    (libc::SO_PRIORITY, 3),
    (libc::SO_TIMESTAMPNS, 1),
    (libc::SO_PEEK_OFF, 5),
];

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    for (name, value) in INTS {
        option::set(&one, libc::SOL_SOCKET, name, &i32::to_ne_bytes(value))?;
    }
    option::set(&one, libc::SOL_SOCKET, libc::SO_LINGER, &[1i32, 9].map(i32::to_ne_bytes).concat())?;
    option::set(&one, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &[3i64, 250_000].map(i64::to_ne_bytes).concat())?;
    option::set(&one, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &[1i64, 0].map(i64::to_ne_bytes).concat())?;
    let all = |fd| {
        let names = INTS.iter().map(|(name, _)| *name);
        let names = names.chain([libc::SO_LINGER, libc::SO_RCVTIMEO, libc::SO_SNDTIMEO]);
        names.map(|name| option::get(fd, libc::SOL_SOCKET, name)).collect::<anyhow::Result<Vec<_>>>()
    };
    let want = (all(&one)?, all(&other)?);
    expect(want.0 != want.1, || "the options are those of the other end".into())?;

    cx.ready()?;

    expect_eq("options", all(&one)?, want.0)?;
    expect_eq("options of the other end", all(&other)?, want.1)
}
