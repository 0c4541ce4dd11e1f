//! A pair of datagram sockets: borders of datagrams, an empty one first.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "datagrams that wait in both sockets of a pair, with their borders",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const LENGTHS: [usize; 6] = [0, 1, 5000, 2, 70_000, 3];

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = helpers::pair(SockType::Datagram, SockFlag::empty())?;
    for (index, len) in LENGTHS.into_iter().enumerate() {
        helpers::send(&one, &pattern::bytes(len, cx.seed + index as u64))?;
    }
    helpers::send(&other, b"back")?;

    cx.ready()?;

    for (index, len) in LENGTHS.into_iter().enumerate() {
        let datagram = helpers::receive(&other).with_context(|| format!("datagram {index}"))?;
        expect_eq(&format!("length of datagram {index}"), datagram.len(), len)?;
        pattern::verify(&format!("datagram {index}"), &datagram, cx.seed + index as u64)?;
    }
    helpers::nothing_left("one way", &other)?;
    expect_bytes("the way back", &helpers::receive(&one)?, b"back")?;
    helpers::nothing_left("the other way", &one)?;
    helpers::send(&other, b"new")?;
    expect_bytes("a new one", &helpers::receive(&one)?, b"new")
}
