//! Connections by way of a listener: names of both ends, a request and a response on their way.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::SockType;

pub const WORKLOAD: Workload = Workload {
    purpose: "connections that were accepted: the names of both ends, and what is on its way",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let at = helpers::path("door")?;
    let listener = helpers::listener(SockType::Stream, &at)?;
    let packets = helpers::listener(SockType::SeqPacket, &helpers::path("packets")?)?;
    let mut connections = Vec::new();
    for number in 0..3u8 {
        let client = helpers::connected(SockType::Stream, &at)?;
        let served = helpers::accepted(&listener)?;
        helpers::send(&client, &[b'q', number])?;
        helpers::send(&served, &[b'a', number])?;
        connections.push((client, served));
    }
    let client = helpers::connected(SockType::SeqPacket, &helpers::path("packets")?)?;
    let served = helpers::accepted(&packets)?;
    helpers::send(&client, b"q\x03")?;
    helpers::send(&served, b"a\x03")?;
    connections.push((client, served));
    let names = || {
        connections
            .iter()
            .map(|(one, other)| (helpers::names(one), helpers::names(other)))
            .collect::<Vec<_>>()
    };
    let want = names();

    cx.ready()?;

    expect_eq("names", names(), want)?;
    for (number, (client, served)) in (0u8..).zip(&connections) {
        expect_bytes("request", &helpers::receive(served)?, &[b'q', number])?;
        expect_bytes("answer", &helpers::receive(client)?, &[b'a', number])?;
    }
    let client = helpers::connected(SockType::Stream, &at)?;
    helpers::send(&client, b"new")?;
    expect_bytes("a new client", &helpers::receive(&helpers::accepted(&listener)?)?, b"new")
}
