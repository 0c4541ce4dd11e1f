//! POSIX timers that are disarmed, one-shot, periodic, or set to an absolute time.

use super::kit;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "what is left of POSIX timers and their intervals: disarmed, one-shot, periodic, absolute",
    needs: &[],
    moving: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let day = kit::now(libc::CLOCK_REALTIME)? + kit::LONG;
    let awake = kit::now(libc::CLOCK_MONOTONIC)? + kit::LONG;
    let settings = [
        (libc::CLOCK_MONOTONIC, (Duration::ZERO, Duration::ZERO), false),
        (libc::CLOCK_MONOTONIC, (kit::LONG, Duration::ZERO), false),
        (libc::CLOCK_REALTIME, (kit::LONG, Duration::new(3, 999_999_999)), false),
        (libc::CLOCK_MONOTONIC, (kit::LONG * 1000, kit::LONG * 2000), false),
        (libc::CLOCK_REALTIME, (day, Duration::ZERO), true),
        (libc::CLOCK_MONOTONIC, (awake, Duration::from_secs(5)), true),
    ];
    let mut timers = Vec::new();
    for (clock, setting, absolute) in settings {
        let id = kit::create(clock, kit::Notify::Signal(libc::SIGALRM, 0))?;
        kit::set(id, setting, absolute)?;
        timers.push((id, kit::get(id)?));
    }

    cx.ready()?;

    for (index, (id, before)) in timers.into_iter().enumerate() {
        let what = format!("timer {id} (setting {index})");
        match index {
            0 => expect_eq(&what, kit::get(id)?, before)?,
            _ => kit::expect_running(&what, kit::get(id)?, before)?,
        }
    }
    Ok(())
}
