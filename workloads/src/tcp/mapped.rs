//! Connections over IPv4 to a socket of IPv6: its addresses are mapped ones.

use super::helpers::{await_bytes, listener, names, pair_of, receive, send, talk};
use crate::framework::prelude::*;
use std::net::{Ipv4Addr, TcpStream};

pub const WORKLOAD: Workload = Workload {
    purpose: "a TCP connection over IPv4, one end of which is a socket of IPv6",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let listener = listener("::")?;
    let one = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.local_addr()?.port())).context("connect")?;
    let (other, _) = listener.accept()?;
    expect(other.local_addr()?.to_string().starts_with("[::ffff:127.0.0.1]"), || {
        "the address is no mapped one".into()
    })?;
    let before = names((&one, &other))?;
    send(&one, b"there")?;
    await_bytes(&other, 5)?;

    cx.ready()?;

    expect_eq("addresses", names((&one, &other))?, before)?;
    expect_bytes("the way there", &receive(&other, 5)?, b"there")?;
    talk((&one, &other), cx.seed)?;
    let (new, accepted) = pair_of(&listener)?;
    talk((&new, &accepted), cx.seed)
}
