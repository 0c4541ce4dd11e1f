//! Threads are checkpointed while they sleep: they wake in time, not before, and without an error.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "nanosleep, and clock_nanosleep until a time, end by themselves and not too early",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let clock = libc::CLOCK_MONOTONIC;
    let start = helpers::now(clock)?;
    let naps = thread::spawn(move || {
        let time = helpers::timespec(helpers::SHORT);
        let start = helpers::now(clock)?;
        // SAFETY: the time lives through the call; no result is requested.
        let rc = unsafe { libc::syscall(libc::SYS_nanosleep, &time, std::ptr::null_mut::<libc::timespec>()) };
        expect_eq("errno of nanosleep", sys::errno_of(rc), None)?;
        let slept = helpers::now(clock)?.saturating_sub(start);
        expect(slept >= helpers::SHORT, || format!("nanosleep of {:?} took {slept:?}", helpers::SHORT))
    })?;
    let until = thread::spawn(move || {
        let end = start + helpers::SHORT;
        let time = helpers::timespec(end);
        // SAFETY: as above.
        let rc = unsafe { libc::clock_nanosleep(clock, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()) };
        expect_eq("result of clock_nanosleep", rc, 0)?;
        let now = helpers::now(clock)?;
        expect(now >= end, || format!("clock_nanosleep until {end:?} ended at {now:?}"))
    })?;
    helpers::settle(&naps, libc::SYS_nanosleep)?;
    helpers::settle(&until, libc::SYS_clock_nanosleep)?;

    cx.ready()?;

    naps.join()?;
    until.join()
}
