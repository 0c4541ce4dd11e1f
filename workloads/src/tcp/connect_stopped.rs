//! A process stopped in connect(2) before its connection came about.

use super::helpers::{connect, full_listener, receive, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "connect(2) of a stopped process, whose connection came about since: it succeeds",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

const LEN: usize = 3000;

fn run(cx: &mut Ctx) -> Outcome {
    let (listener, first) = full_listener()?;
    let (seed, to) = (cx.seed, listener.local_addr()?);
    let client = child::fork("client", || {
        // Not by the standard library, which does not mind when the connection is there already.
        let (stream, connected) = connect(to, 0)?;
        connected.context("connect")?;
        send(&stream, &pattern::bytes(LEN, seed))?;
        pattern::verify("the answer", &receive(&stream, LEN)?, !seed)
    })?;
    client.wait_blocked_in(libc::SYS_connect)?;
    client.kill(libc::SIGSTOP)?;
    client.wait_stopped()?;
    drop((listener.accept().context("accept the first")?, first));
    // The request is repeated after a second.
    let (server, _) = listener.accept().context("accept the client")?;

    cx.ready()?;

    client.kill(libc::SIGCONT)?;
    pattern::verify("what was sent", &receive(&server, LEN)?, seed)?;
    send(&server, &pattern::bytes(LEN, !seed))?;
    client.join()
}
