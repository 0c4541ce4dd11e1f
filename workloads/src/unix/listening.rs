//! A listening socket with a file, and two clients that it has not accepted.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::SockType;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

pub const WORKLOAD: Workload = Workload {
    purpose: "a listening socket, the mode of its file, and clients that wait in their order",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let at = helpers::path("door")?;
    let listener = helpers::listener(SockType::Stream, &at)?;
    std::fs::set_permissions("door", std::fs::Permissions::from_mode(0o622)).context("chmod")?;
    let clients = [helpers::connected(SockType::Stream, &at)?, helpers::connected(SockType::Stream, &at)?];
    let facts = || -> anyhow::Result<_> {
        let meta = std::fs::symlink_metadata("door").context("stat")?;
        Ok((meta.mode(), meta.uid(), meta.gid()))
    };
    let want = facts()?;

    cx.ready()?;

    expect_eq("mode and owner of the file", facts()?, want)?;
    helpers::send(&clients[0], b"first")?;
    helpers::send(&clients[1], b"second")?;
    for text in [&b"first"[..], b"second"] {
        let served = helpers::accepted(&listener)?;
        expect_bytes("a client", &helpers::receive(&served)?, text)?;
    }
    let more: Vec<_> = (0..8).map(|_| helpers::connected(SockType::Stream, &at)).collect::<Result<_, _>>()?;
    fd::fcntl(&listener, libc::F_SETFL, libc::O_NONBLOCK)?;
    let next = helpers::new(SockType::Stream)?;
    fd::fcntl(&next, libc::F_SETFL, libc::O_NONBLOCK)?;
    let full = nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&next), &at);
    expect_eq("one more than may wait", full, Err(nix::Error::EAGAIN))?;
    for _ in &more {
        helpers::accepted(&listener)?;
    }
    expect_eq("errno of accept", fd::errno("accept", helpers::accepted(&listener))?, libc::EAGAIN)
}
