//! alarm(2) is pending; a later alarm call returns the remaining time.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "a pending alarm", needs: &[], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    let seconds = helpers::LONG.as_secs() as u32;
    // SAFETY: alarm has no preconditions; SIGALRM comes long after the end of the workload.
    unsafe { libc::alarm(seconds) };

    cx.ready()?;

    // SAFETY: as above.
    let left = unsafe { libc::alarm(5) };
    expect(left <= seconds && left > seconds - 600, || format!("alarm in {left} s, was set to {seconds} s"))?;
    // SAFETY: as above.
    expect_eq("the new alarm", unsafe { libc::alarm(0) }, 5u32)
}
