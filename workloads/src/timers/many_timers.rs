//! A hundred POSIX timers, each with its own value and time.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload =
    Workload { purpose: "a hundred POSIX timers", needs: &[], active: false, statik: false, run };

const COUNT: usize = 100;

fn run(cx: &mut Ctx) -> Outcome {
    let mut timers = Vec::new();
    for index in 0..COUNT {
        let id = helpers::create(
            libc::CLOCK_MONOTONIC,
            helpers::Notify::Signal(34 + (index % 30) as i32, index << 20),
        )?;
        helpers::set(id, (helpers::LONG * (index as u32 + 1), Duration::from_secs(index as u64)), false)?;
        timers.push((id, helpers::get(id)?));
    }
    let listed = helpers::listed()?;

    cx.ready()?;

    expect_eq("/proc/self/timers", helpers::listed()?, listed)?;
    for (id, before) in timers {
        helpers::expect_running(&format!("timer {id}"), helpers::get(id)?, before)?;
    }
    Ok(())
}
