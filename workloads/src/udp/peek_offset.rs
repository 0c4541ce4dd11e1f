//! A queue that its reader looks at piece by piece.

use super::helpers::{expect_next, local, name, receive, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "looks into a UDP queue by SO_PEEK_OFF go on where they were",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (socket, sender) = (local()?, local()?);
    let (at, from) = (name(&socket)?, name(&sender)?);
    for data in ["taken", "looked at", "half of it", "to come"] {
        send(&sender, data.as_bytes(), at)?;
    }
    expect_next("the first one", &socket, b"taken", from)?;
    option::set_int(&socket, libc::SOL_SOCKET, libc::SO_PEEK_OFF, 0)?;
    let look = || receive(&socket, libc::MSG_DONTWAIT | libc::MSG_PEEK).map(|(data, _)| data);
    expect_bytes("a look", &look()?, b"looked at")?;
    option::set_int(&socket, libc::SOL_SOCKET, libc::SO_PEEK_OFF, 9 + 5)?;

    cx.ready()?;

    expect_bytes("the rest of what was looked at by half", &look()?, b"of it")?;
    expect_bytes("the next look", &look()?, b"to come")?;
    for data in ["looked at", "half of it", "to come"] {
        expect_next("a datagram", &socket, data.as_bytes(), from)?;
    }
    Ok(())
}
