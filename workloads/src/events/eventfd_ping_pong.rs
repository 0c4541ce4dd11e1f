//! Two processes wake each other by two eventfds as fast as they can; no wake-up is lost and none
//! is spurious.

use super::helpers;
use crate::framework::ping_pong;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes in motion that wake each other by eventfds",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (there, back) = (helpers::eventfd(0, 0)?, helpers::eventfd(0, libc::EFD_SEMAPHORE)?);
    const END: u64 = 1000;
    let round = |_| {
        helpers::add(&there, 1)?;
        expect_eq("answer", helpers::take(&back)?, 1u64)
    };
    let answer = || {
        loop {
            match helpers::take(&there)? {
                1 => helpers::add(&back, 1)?,
                END => return Ok(()),
                other => bail!("got {other} at once"),
            }
        }
    };
    ping_pong::game(cx, round, || helpers::add(&there, END), answer)
}
