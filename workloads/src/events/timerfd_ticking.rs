//! A periodic timer ticks while a thread reads it: expirations arrive in time and none twice.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

pub const WORKLOAD: Workload = Workload {
    purpose: "a periodic timerfd in motion, read by a thread",
    needs: &[],
    active: true,
    statik: false,
    run,
};

static TICKS: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

fn run(cx: &mut Ctx) -> Outcome {
    const PERIOD: Duration = Duration::from_millis(4);
    let timer = helpers::timerfd(libc::CLOCK_MONOTONIC, 0)?;
    let begin = Instant::now();
    helpers::arm(&timer, 0, (PERIOD, PERIOD))?;
    let reading = fd::dup(&timer)?;
    let thread = thread::spawn(move || {
        while DONE.load(SeqCst) == 0 {
            let ticks = TICKS.fetch_add(helpers::take(&reading)?, SeqCst);
            expect(begin.elapsed() >= PERIOD * ticks as u32, || format!("{ticks} ticks too early"))?;
        }
        Ok(())
    })?;
    let ticked = |more| sync::wait_for_more("the timer to tick", &TICKS, more);
    ticked(5)?;

    cx.ready()?;

    ticked(5)?;
    expect_eq("interval", helpers::left(&timer)?.1, PERIOD)?;
    DONE.store(1, SeqCst);
    thread.join()
}
