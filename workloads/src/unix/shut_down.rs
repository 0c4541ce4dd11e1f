//! Connections of which one direction is shut down, with data that came before.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{Shutdown, SockFlag, SockType, shutdown};
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "directions that are shut down, with data that came before that",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let pairs = [SockType::Stream, SockType::SeqPacket]
        .into_iter()
        .flat_map(|kind| [Shutdown::Write, Shutdown::Read, Shutdown::Both].map(|how| (kind, how)));
    let mut all = Vec::new();
    for (kind, how) in pairs {
        let (one, other) = helpers::pair(kind, SockFlag::empty())?;
        helpers::send(&one, b"there")?;
        helpers::send(&other, b"back")?;
        shutdown(one.as_raw_fd(), how).context("shutdown")?;
        all.push((one, other, how));
    }
    let (dead, alive) = helpers::pair(SockType::Datagram, SockFlag::empty())?;
    helpers::send(&alive, b"before")?;
    shutdown(dead.as_raw_fd(), Shutdown::Write).context("shutdown")?;

    cx.ready()?;

    for (one, other, how) in all {
        let what = format!("{how:?}");
        expect_bytes(&what, &helpers::receive(&other)?, b"there")?;
        expect_bytes(&what, &helpers::receive(&one)?, b"back")?;
        let sent = [helpers::send(&one, b"x"), helpers::send(&other, b"y")].map(|sent| sent.is_ok());
        let want = match how {
            Shutdown::Write => [false, true],
            Shutdown::Read => [true, false],
            Shutdown::Both => [false, false],
        };
        expect_eq(&format!("{what}: directions that work"), sent, want)?;
        let (gone, works) = if how == Shutdown::Write { (&other, &one) } else { (&one, &other) };
        expect_bytes(&format!("{what}: the end"), &helpers::receive(gone)?, b"")?;
        if how != Shutdown::Both {
            expect_eq(&format!("{what}: the other direction"), helpers::receive(works)?.len(), 1)?;
        }
    }
    expect_bytes("a datagram", &helpers::receive(&dead)?, b"before")?;
    expect_eq("errno of send", fd::errno("send", helpers::send(&dead, b"x"))?, libc::EPIPE)
}
