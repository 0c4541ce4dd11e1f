//! Attempts to connect that a listener does not answer, as it has no room.

use super::helpers::{begin_to_connect, full_listener, receive, send, state, talk};
use crate::framework::prelude::*;
use std::net::TcpStream;

pub const WORKLOAD: Workload = Workload {
    purpose: "TCP sockets whose attempt to connect was not answered yet, also while connect(2) waits",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

const SYN_SENT: i32 = 2;

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    // One for each: of two attempts at a time, the kernel may answer the second without making
    // room for it (tcp_syncookies).
    let ((one, first), (other, second)) = (full_listener()?, full_listener()?);
    let to = other.local_addr()?;
    let asking = begin_to_connect(one.local_addr()?)?;
    let child = fork("one that waits in connect(2)", || {
        shared.cell(0).set(1);
        let stream = TcpStream::connect(to).context("connect")?;
        expect_eq("what it is told", &receive(&stream, 7)?[..], b"welcome")
    })?;
    sync::wait_until("the child to begin", || Ok(shared.cell(0).get() == 1))?;
    child.wait_blocked_in(libc::SYS_connect)?;
    expect_eq("state", state(&asking)?, SYN_SENT)?;

    cx.ready()?;

    expect_eq("state", state(&asking)?, SYN_SENT)?;
    for (listener, client) in [(&one, &first), (&other, &second)] {
        let (accepted, from) = listener.accept().context("accept")?;
        expect_eq("who waited", from, client.local_addr()?)?;
        talk((client, &accepted), cx.seed)?;
    }
    let (accepted, from) = one.accept().context("accept")?;
    expect_eq("who was connecting", from, asking.local_addr()?)?;
    sync::wait_until("the answer", || Ok(state(&asking)? == 1))?;
    let error = option::get(&asking, libc::SOL_SOCKET, libc::SO_ERROR)?;
    expect(error.iter().all(|byte| *byte == 0), || "an error".into())?;
    asking.set_nonblocking(false)?;
    talk((&asking, &accepted), cx.seed)?;
    send(&other.accept().context("accept")?.0, b"welcome")?;
    child.join()
}
