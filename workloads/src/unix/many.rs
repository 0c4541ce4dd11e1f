//! Many pairs, each with something of its own in both directions.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};

pub const WORKLOAD: Workload = Workload {
    purpose: "200 pairs of sockets, none taken for another",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let kinds = [SockType::Stream, SockType::Datagram, SockType::SeqPacket];
    let mut pairs = Vec::new();
    for number in 0..200u32 {
        let (one, other) = helpers::pair(kinds[number as usize % 3], SockFlag::empty())?;
        helpers::send(&one, &number.to_le_bytes())?;
        helpers::send(&other, &(!number).to_le_bytes())?;
        pairs.push((one, other));
    }

    cx.ready()?;

    for (number, (one, other)) in (0u32..).zip(&pairs) {
        expect_bytes("one way", &helpers::receive(other)?, &number.to_le_bytes())?;
        expect_bytes("the other way", &helpers::receive(one)?, &(!number).to_le_bytes())?;
        helpers::send(one, b"again")?;
        expect_bytes("afterwards", &helpers::receive(other)?, b"again")?;
    }
    Ok(())
}
