//! A pair of sockets with sequenced packets.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "packets that wait in a pair of SOCK_SEQPACKET sockets, and its end",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = helpers::pair(SockType::SeqPacket, SockFlag::empty())?;
    for (index, len) in [1usize, 4096, 17, 1].into_iter().enumerate() {
        helpers::send(&one, &pattern::bytes(len, cx.seed + index as u64))?;
    }

    cx.ready()?;

    for (index, len) in [1usize, 4096, 17, 1].into_iter().enumerate() {
        let packet = helpers::receive(&other).with_context(|| format!("packet {index}"))?;
        expect_eq(&format!("length of packet {index}"), packet.len(), len)?;
        pattern::verify(&format!("packet {index}"), &packet, cx.seed + index as u64)?;
    }
    helpers::send(&other, b"back")?;
    expect_bytes("the way back", &helpers::receive(&one)?, b"back")?;
    drop(one);
    expect_bytes("the end", &helpers::receive(&other)?, b"")
}
