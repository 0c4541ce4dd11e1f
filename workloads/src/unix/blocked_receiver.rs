//! A process is blocked in receiving, another one in accepting.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "processes blocked in reading from a socket and in accept(2) get what comes afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (one, other) = helpers::pair(SockType::Stream, SockFlag::empty())?;
    let at = helpers::path("door")?;
    let listener = helpers::listener(SockType::Stream, &at)?;
    let reader = fork("the reader", || expect_bytes("read", &fd::read_some(&other, 100)?, b"afterwards"))?;
    let server = fork("the server", || {
        let served = helpers::accepted(&listener)?;
        expect_bytes("request", &fd::read_some(&served, 100)?, b"request")
    })?;
    stage.wait_in(&reader, libc::SYS_read)?;
    stage.wait_in(&server, libc::SYS_accept4)?;

    cx.ready()?;

    stage.wait_in(&reader, libc::SYS_read)?;
    stage.wait_in(&server, libc::SYS_accept4)?;
    helpers::send(&one, b"afterwards")?;
    let client = helpers::connected(SockType::Stream, &at)?;
    helpers::send(&client, b"request")?;
    reader.join()?;
    server.join()
}
