//! A hundred POSIX timers, each with its own value and time.

use super::kit;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload =
    Workload { purpose: "a hundred POSIX timers", needs: &[], moving: false, statik: false, run };

const COUNT: usize = 100;

fn run(cx: &mut Ctx) -> Outcome {
    let mut timers = Vec::new();
    for index in 0..COUNT {
        let id =
            kit::create(libc::CLOCK_MONOTONIC, kit::Notify::Signal(34 + (index % 30) as i32, index << 20))?;
        kit::set(id, (kit::LONG * (index as u32 + 1), Duration::from_secs(index as u64)), false)?;
        timers.push((id, kit::get(id)?));
    }
    let listed = kit::listed()?;

    cx.ready()?;

    expect_eq("/proc/self/timers", kit::listed()?, listed)?;
    for (id, before) in timers {
        kit::expect_running(&format!("timer {id}"), kit::get(id)?, before)?;
    }
    Ok(())
}
