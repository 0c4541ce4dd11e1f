//! Whom sockets name as their other end, long after that may have changed or gone.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{Backlog, SockFlag, SockType, connect, listen};
use std::os::fd::{AsRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "processes and credentials of the other ends (SO_PEERCRED, SO_PEERGROUPS): of pairs, \
              listeners and clients, of another user, of some that have ended, and of one that \
              waits to be accepted",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// PID, user, group, and the supplementary groups.
fn named(fd: &OwnedFd) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    const SO_PEERGROUPS: i32 = 59;
    let peer = option::get(fd, libc::SOL_SOCKET, libc::SO_PEERCRED)?;
    Ok((peer, option::get(fd, libc::SOL_SOCKET, SO_PEERGROUPS)?))
}

fn pid_of((peer, _): &(Vec<u8>, Vec<u8>)) -> anyhow::Result<i32> {
    Ok(i32::from_ne_bytes(peer.first_chunk().copied().context("a PID")?))
}

/// Another user, where that may be: with capabilities that are kept over the change.
fn change_user() -> Outcome {
    // SAFETY: numbers, and groups that are live.
    sys::check("become another user", unsafe {
        match libc::geteuid() {
            0 if libc::setgroups(2, [71, 72].as_ptr()) != 0 => -1,
            0 if libc::setresgid(70, 70, 70) != 0 => -1,
            0 => libc::setresuid(70, 70, 70),
            _ => 0,
        }
    })
    .map(drop)
}

/// Another group, where that may be.
fn change_group() -> Outcome {
    // SAFETY: numbers only.
    sys::check("setegid", unsafe { if libc::geteuid() == 0 { libc::setresgid(73, 73, 73) } else { 0 } })
        .map(drop)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let pair = helpers::pair(SockType::Stream, SockFlag::empty())?;
    let datagrams = helpers::pair(SockType::Datagram, SockFlag::empty())?;
    let door = helpers::abstract_name("door")?;
    let listener = helpers::listener(SockType::Stream, &door)?;
    let new = || helpers::new(SockType::Stream);
    // Who connects one of them, and has ended.
    let (own, other) = (new()?, new()?);
    let once = child::fork("one that connects", || connect(own.as_raw_fd(), &door).context("connect"))?;
    let gone = once.pid;
    once.join()?;
    let served = helpers::accepted(&listener)?;
    let another = child::fork("another user", || {
        change_user()?;
        connect(other.as_raw_fd(), &door).context("connect")
    })?;
    let also_gone = another.pid;
    another.join()?;
    let served_too = helpers::accepted(&listener)?;
    // By one whose call of listen(2) is not the last one.
    let early = new()?;
    let first = child::fork("the first to listen", || {
        listen(&listener, Backlog::new(5)?).context("listen")?;
        connect(early.as_raw_fd(), &door).context("connect")
    })?;
    let first_pid = first.pid;
    first.join()?;
    let served_early = helpers::accepted(&listener)?;
    listen(&listener, Backlog::new(7)?).context("listen")?;
    // Of one process under two names of its own, and of two sockets that nobody has made as a pair.
    let client = stage.fork("a client", |stage| {
        let mine = helpers::pair(SockType::Stream, SockFlag::empty())?;
        let crossed = [helpers::abstract_name("left")?, helpers::abstract_name("right")?];
        let [left, right] = [
            helpers::bound(SockType::Datagram, &crossed[0])?,
            helpers::bound(SockType::Datagram, &crossed[1])?,
        ];
        connect(left.as_raw_fd(), &crossed[1]).context("connect")?;
        connect(right.as_raw_fd(), &crossed[0]).context("connect")?;
        change_group()?;
        let later = helpers::pair(SockType::Stream, SockFlag::empty())?;
        let own = [&mine.0, &mine.1, &later.0, &later.1];
        let whom = || own.into_iter().map(named).collect::<anyhow::Result<Vec<_>>>();
        let both = whom()?;
        let nobody = option::get(&left, libc::SOL_SOCKET, libc::SO_PEERCRED)?;
        let waits = helpers::connected(SockType::Stream, &door)?;
        let before = named(&waits)?;
        stage.hold();
        expect_eq("the listener of one that waits", named(&waits)?, before)?;
        expect_eq("pairs of two groups", whom()?, both)?;
        let now = option::get(&left, libc::SOL_SOCKET, libc::SO_PEERCRED)?;
        expect_eq("the other end of what was connected by name", now, nobody)?;
        helpers::send(&left, b"across")?;
        expect_bytes("across", &helpers::receive(&right)?, b"across")
    })?;
    stage.wait_held(&client)?;
    let all = [
        &pair.0,
        &pair.1,
        &datagrams.0,
        &datagrams.1,
        &listener,
        &own,
        &served,
        &other,
        &served_too,
        &early,
        &served_early,
    ];
    let before = all.map(named).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let parent = std::process::id() as i32;
    let pids = before.iter().map(pid_of).collect::<anyhow::Result<Vec<_>>>()?;
    let (ours, theirs) = ([parent; 5], [parent, gone, parent, also_gone, first_pid, first_pid]);
    expect_eq("PIDs before", pids, [&ours[..], &theirs[..]].concat())?;

    cx.ready()?;

    for (at, (fd, before)) in all.into_iter().zip(before).enumerate() {
        expect_eq(&format!("the other end of socket {at}"), named(fd)?, before)?;
    }
    let last = helpers::accepted(&listener)?;
    expect_eq("one that waited", pid_of(&named(&last)?)?, client.pid)?;
    stage.release();
    client.join()
}
