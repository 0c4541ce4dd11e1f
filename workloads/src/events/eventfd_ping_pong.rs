//! Two processes wake each other by two eventfds as fast as they can; no wake-up is lost and none
//! is spurious.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes in motion that wake each other by eventfds",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let (there, back) = (helpers::eventfd(0, 0)?, helpers::eventfd(0, libc::EFD_SEMAPHORE)?);
    const END: u64 = 1000;
    let serve = fork("the server", || {
        while shared.cell(1).get() == 0 {
            helpers::add(&there, 1)?;
            expect_eq("answer", helpers::take(&back)?, 1u64)?;
            shared.number(0).fetch_add(1, SeqCst);
        }
        helpers::add(&there, END)
    })?;
    let answer = fork("the other player", || {
        loop {
            match helpers::take(&there)? {
                1 => helpers::add(&back, 1)?,
                END => return Ok(()),
                other => bail!("got {other} at once"),
            }
        }
    })?;
    let played = |more| sync::wait_for_more("the game to go on", shared.number(0), more);
    played(20)?;

    cx.ready()?;

    played(20)?;
    shared.cell(1).set(1);
    serve.join()?;
    answer.join()
}
