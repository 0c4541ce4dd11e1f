//! The three interval timers are armed, with intervals, in a process and its child; a second child
//! has none.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "what is left of ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF, and their intervals",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const TIMERS: [i32; 3] = [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF];

fn all() -> anyhow::Result<Vec<helpers::Setting>> {
    TIMERS.iter().map(|which| helpers::interval(*which)).collect()
}

fn arm(factor: u32) -> anyhow::Result<Vec<helpers::Setting>> {
    for (index, which) in TIMERS.iter().enumerate() {
        let value = helpers::LONG * factor + Duration::from_secs(index as u64 * 1000);
        helpers::set_interval(*which, (value, Duration::from_micros(7_000_001 * (index as u64 + 1))))?;
    }
    all()
}

fn check(before: &[helpers::Setting]) -> Outcome {
    for ((which, now), before) in TIMERS.iter().zip(all()?).zip(before) {
        let rounded = if *which == libc::ITIMER_REAL { Duration::ZERO } else { helpers::TICK };
        helpers::expect_running(&format!("interval timer {which}"), now, (before.0 + rounded, before.1))?;
    }
    Ok(())
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let armed = stage.fork("the child with timers", |stage| {
        let before = arm(2)?;
        stage.hold();
        check(&before)
    })?;
    let before = arm(1)?;
    let bare = stage.fork("the child without timers", |stage| {
        stage.hold();
        expect_eq("timers of a fork", all()?, vec![(Duration::ZERO, Duration::ZERO); 3])
    })?;

    cx.ready()?;

    check(&before)?;
    stage.release();
    armed.join()?;
    bare.join()
}
