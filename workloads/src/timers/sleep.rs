//! Threads are checkpointed while they sleep: they wake in time, not before, and without an error.

use super::kit;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "nanosleep, and clock_nanosleep until a time, end by themselves and not too early",
    needs: &[],
    moving: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let clock = libc::CLOCK_MONOTONIC;
    let start = kit::now(clock)?;
    let naps = thread::spawn(move || {
        let time = kit::timespec(kit::SHORT);
        let start = kit::now(clock)?;
        // SAFETY: the time lives through the call; no result is requested.
        let rc = unsafe { libc::syscall(libc::SYS_nanosleep, &time, std::ptr::null_mut::<libc::timespec>()) };
        expect_eq("errno of nanosleep", sys::errno_of(rc), None)?;
        let slept = kit::now(clock)?.saturating_sub(start);
        expect(slept >= kit::SHORT, || format!("nanosleep of {:?} took {slept:?}", kit::SHORT))
    })?;
    let until = thread::spawn(move || {
        let end = start + kit::SHORT;
        let time = kit::timespec(end);
        // SAFETY: as above.
        let rc = unsafe { libc::clock_nanosleep(clock, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()) };
        expect_eq("result of clock_nanosleep", rc, 0)?;
        let now = kit::now(clock)?;
        expect(now >= end, || format!("clock_nanosleep until {end:?} ended at {now:?}"))
    })?;
    kit::settle(&naps, libc::SYS_nanosleep)?;
    kit::settle(&until, libc::SYS_clock_nanosleep)?;

    cx.ready()?;

    naps.join()?;
    until.join()
}
