//! The clocks never go back, through the vdso and through the system call.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "monotonic, boot and real clocks go forward over a restart",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const CLOCKS: [libc::clockid_t; 5] = [
    libc::CLOCK_MONOTONIC,
    libc::CLOCK_BOOTTIME,
    libc::CLOCK_REALTIME,
    libc::CLOCK_MONOTONIC_RAW,
    libc::CLOCK_MONOTONIC_COARSE,
];

/// By the system call, not the vdso.
fn now(clock: libc::clockid_t) -> anyhow::Result<Duration> {
    let mut time = helpers::timespec(Duration::ZERO);
    // SAFETY: the kernel writes the struct.
    sys::check("clock_gettime", unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &mut time) })?;
    Ok(helpers::duration(&time))
}

fn run(cx: &mut Ctx) -> Outcome {
    let before: Vec<Duration> =
        CLOCKS.iter().map(|clock| helpers::now(*clock)).collect::<anyhow::Result<_>>()?;

    cx.ready()?;

    for (clock, before) in CLOCKS.into_iter().zip(before) {
        let times = [before, helpers::now(clock)?, now(clock)?, helpers::now(clock)?];
        expect(times.is_sorted(), || format!("clock {clock} went back: {times:?}"))?;
    }
    Ok(())
}
