//! POSIX timers that are disarmed, one-shot, periodic, or set to an absolute time.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "what is left of POSIX timers and their intervals: disarmed, one-shot, periodic, absolute",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let day = helpers::now(libc::CLOCK_REALTIME)? + helpers::LONG;
    let awake = helpers::now(libc::CLOCK_MONOTONIC)? + helpers::LONG;
    let settings = [
        (libc::CLOCK_MONOTONIC, (Duration::ZERO, Duration::ZERO), false),
        (libc::CLOCK_MONOTONIC, (helpers::LONG, Duration::ZERO), false),
        (libc::CLOCK_REALTIME, (helpers::LONG, Duration::new(3, 999_999_999)), false),
        (libc::CLOCK_MONOTONIC, (helpers::LONG * 1000, helpers::LONG * 2000), false),
        (libc::CLOCK_REALTIME, (day, Duration::ZERO), true),
        (libc::CLOCK_MONOTONIC, (awake, Duration::from_secs(5)), true),
    ];
    let mut timers = Vec::new();
    for (clock, setting, absolute) in settings {
        let id = helpers::create(clock, helpers::Notify::Signal(libc::SIGALRM, 0))?;
        helpers::set(id, setting, absolute)?;
        timers.push((id, helpers::get(id)?));
    }

    cx.ready()?;

    for (index, (id, before)) in timers.into_iter().enumerate() {
        let what = format!("timer {id} (setting {index})");
        match index {
            0 => expect_eq(&what, helpers::get(id)?, before)?,
            _ => helpers::expect_running(&what, helpers::get(id)?, before)?,
        }
    }
    Ok(())
}
