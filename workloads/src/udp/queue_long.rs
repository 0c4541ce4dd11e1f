//! Very many datagrams of all sizes.

use super::helpers::{expect_empty, expect_next, local, name, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a long UDP queue keeps every datagram",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    const COUNT: u64 = 120;
    let (socket, sender) = (local()?, local()?);
    option::set_int(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 200_000)?;
    let at = name(&socket)?;
    let datagram = |number| pattern::bytes(Rng::new(number).below(1200) as usize, number);
    for number in 0..COUNT {
        send(&sender, &datagram(number), at)?;
    }

    cx.ready()?;

    for number in 0..COUNT {
        expect_next(&format!("datagram {number}"), &socket, &datagram(number), name(&sender)?)?;
    }
    expect_empty(&socket)
}
