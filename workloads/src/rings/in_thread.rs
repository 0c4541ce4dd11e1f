//! A thread that is not the first has made a ring for itself alone.

use super::helpers::{Ring, SINGLE_ISSUER, require};
use crate::framework::prelude::*;
use std::sync::Arc;

pub const WORKLOAD: Workload = Workload {
    purpose: "an io_uring for one thread, which is not the first of its process",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    require(SINGLE_ISSUER)?;
    let shared = Arc::new(Shared::new()?);
    let inside = shared.clone();
    let thread = thread::spawn(move || {
        let mut ring = Ring::with_flags(4, SINGLE_ISSUER)?;
        ring.spin(9, 2)?;
        inside.cell(0).set(1);
        inside.cell(1).block_until(1);
        expect_eq("completions", [ring.take(), ring.take()], [Some((7, 0)), Some((8, 0))])?;
        ring.spin(9, 0)
    })?;
    shared.cell(0).wait("the ring", 1)?;
    thread.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    shared.cell(1).set(1);
    thread.join()
}
