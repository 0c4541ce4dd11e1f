//! One-shot POSIX timers that expire about now notify exactly once.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "one-shot POSIX timers that expire around the checkpoint, neither lost nor doubled",
    needs: &[],
    active: true,
    statik: false,
    run,
};

const COUNT: i32 = 6;

fn run(cx: &mut Ctx) -> Outcome {
    let signals: Vec<i32> = (40..40 + COUNT).collect();
    signal::block(&signals)?;
    for (index, number) in signals.iter().enumerate() {
        let id = helpers::create(libc::CLOCK_MONOTONIC, helpers::Notify::Signal(*number, index))?;
        helpers::set(id, (helpers::SHORT / COUNT as u32 * (index as u32 + 1), Duration::ZERO), false)?;
    }

    cx.ready()?;

    for (index, number) in signals.iter().enumerate() {
        let info = signal::take_soon(&[*number])?;
        expect_eq("code and value", (info.code(), info.value()), (libc::SI_TIMER, index))?;
    }
    std::thread::sleep(Duration::from_millis(20));
    expect_eq("a second time", signal::take(&signals)?, None)
}
