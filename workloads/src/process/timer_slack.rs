//! prctl(PR_SET_TIMERSLACK): a property of each thread.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "timer slack that differs between threads",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    set(123_457)?;
    let other = thread::spawn(|| {
        set(7_654_321)?;
        GO.block_until(1);
        expect_eq("slack of the second thread", get()?, 7_654_321)
    })?;
    other.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    expect_eq("slack of the main thread", get()?, 123_457)?;
    GO.set(1);
    other.join()
}

/// Nanoseconds.
fn set(slack: libc::c_ulong) -> Outcome {
    // SAFETY: no memory arguments.
    sys::check("prctl(PR_SET_TIMERSLACK)", unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack) })?;
    Ok(())
}

fn get() -> anyhow::Result<i32> {
    // SAFETY: no memory arguments.
    sys::check("prctl(PR_GET_TIMERSLACK)", unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) })
}
