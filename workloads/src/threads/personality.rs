//! A thread inherits the execution domain of the one that creates it.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the execution domain of a thread: that of its process",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const FLAGS: libc::c_ulong = (libc::ADDR_NO_RANDOMIZE | libc::STICKY_TIMEOUTS) as libc::c_ulong;

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: personality has no memory arguments; none of the flags changes existing mappings.
    sys::check("personality", unsafe { libc::personality(FLAGS) })?;
    let stage = std::sync::Arc::new(Stage::new()?);
    let other = std::sync::Arc::clone(&stage);
    let thread = thread::spawn(move || {
        other.hold();
        // SAFETY: 0xffffffff only asks.
        let now = sys::check("personality", unsafe { libc::personality(0xffff_ffff) })?;
        expect_eq("personality of the thread", now as libc::c_ulong, FLAGS)
    })?;
    thread.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    stage.release();
    thread.join()
}
