//! A connection that was made without blocking, which nobody has asked about yet.

use super::helpers::{begin_to_connect, listener, talk};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection made without blocking: writable, without an error",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let listener = listener("127.0.0.1")?;
    let client = begin_to_connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    sync::wait_until("the connection", || Ok(fd::ready_for(&client, libc::POLLOUT)? == libc::POLLOUT))?;

    cx.ready()?;

    expect_eq("ready", fd::ready_for(&client, libc::POLLOUT | libc::POLLIN)?, libc::POLLOUT)?;
    expect_eq("error", option::get_int(&client, libc::SOL_SOCKET, libc::SO_ERROR)?, 0)?;
    expect(fd::flags(&client)? & libc::O_NONBLOCK != 0, || "it blocks".into())?;
    client.set_nonblocking(false)?;
    talk((&client, &server), cx.seed)
}
