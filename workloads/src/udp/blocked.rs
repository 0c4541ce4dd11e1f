//! A process that waits for a datagram.

use super::helpers::{local, name, receive, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "recvfrom continues to wait, and gets the datagram that comes after",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (socket, sender) = (local()?, local()?);
    let from = name(&sender)?;
    let child = fork("the receiver", || {
        expect_eq("datagram and sender", receive(&socket, 0)?, (b"at last".to_vec(), from))
    })?;
    child.wait_blocked_in(libc::SYS_recvfrom)?;

    cx.ready()?;

    send(&sender, b"at last", name(&socket)?)?;
    child.join()
}
