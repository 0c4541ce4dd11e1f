//! Many connections of which one end is closed, or both halves have ended.

use super::helpers::{end, expect_end, listener, pair_of, send};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "many TCP connections whose other end is closed, or that are over",
    needs: &[Need::Root],
    // The window that is offered may grow by the byte that the end of the stream took.
    active: true,
    statik: false,
    run,
};

const COUNT: usize = 40;

fn run(cx: &mut Ctx) -> Outcome {
    let listener = listener("127.0.0.1")?;
    let mut closed = Vec::new();
    let mut over = Vec::new();
    for n in 0..COUNT {
        let (one, other) = pair_of(&listener)?;
        // Either end may be the first one to close.
        let (gone, stays) = if n % 2 == 0 { (one, other) } else { (other, one) };
        send(&gone, &[n as u8])?;
        drop(gone);
        closed.push(stays);
        let (one, other) = pair_of(&listener)?;
        end(&one)?;
        end(&other)?;
        over.push((one, other));
    }

    cx.ready()?;

    for (n, stays) in closed.iter().enumerate() {
        expect_bytes("the last byte", &super::helpers::receive(stays, 1)?, &[n as u8])?;
        expect_end(stays)?;
    }
    over.iter().try_for_each(|(one, other)| expect_end(one).and_then(|()| expect_end(other)))
}
