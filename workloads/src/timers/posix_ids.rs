//! POSIX timers with gaps between their ids, where others were deleted.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "the ids of POSIX timers: those that exist, and those that do not",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let ids: Vec<i32> = (0..12)
        .map(|_| helpers::create(libc::CLOCK_MONOTONIC, helpers::Notify::Nobody))
        .collect::<anyhow::Result<_>>()?;
    let gone = |index: usize| [0, 1, 4, 7, 8, 9].contains(&index);
    for (index, id) in ids.iter().enumerate() {
        if gone(index) {
            helpers::delete(*id)?;
        } else {
            helpers::set(*id, (helpers::LONG * (index as u32 + 1), Duration::ZERO), false)?;
        }
    }

    cx.ready()?;

    for (index, id) in ids.iter().enumerate() {
        if gone(index) {
            let errno = fd::errno("timer_gettime", helpers::get(*id))?;
            expect_eq(&format!("errno for deleted timer {id}"), errno, libc::EINVAL)?;
        } else {
            let set = (helpers::LONG * (index as u32 + 1), Duration::ZERO);
            helpers::expect_running(&format!("timer {id}"), helpers::get(*id)?, set)?;
        }
    }
    let new = helpers::create(libc::CLOCK_MONOTONIC, helpers::Notify::Nobody)?;
    let taken = ids.iter().enumerate().any(|(index, id)| !gone(index) && *id == new);
    expect(!taken, || format!("id {new} was given twice"))?;
    (0..12).filter(|index| !gone(*index)).try_for_each(|index| helpers::delete(ids[index]))
}
