//! Processes and threads with different nice values.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the nice value of each process and thread",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// By the system call, which returns 20 minus the value, so that no value is an error.
fn nice() -> anyhow::Result<i64> {
    // SAFETY: takes no memory.
    let raised =
        sys::check("getpriority", unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0) })?;
    Ok(20 - raised)
}

fn set_nice(value: i32) -> Outcome {
    // SAFETY: takes no memory.
    sys::check("setpriority", unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, value) })?;
    Ok(())
}

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let stage = Stage::new()?;
    let mut children = Vec::new();
    for value in [0, 7, 19] {
        children.push(stage.fork("a process that is nice", |stage| {
            let thread = thread::spawn(move || {
                set_nice(value.max(3))?;
                GO.block_until(1);
                expect_eq("nice value of the thread", nice()?, i64::from(value.max(3)))
            })?;
            thread.wait_blocked_in(libc::SYS_futex)?;
            set_nice(value)?;
            stage.hold();
            expect_eq("nice value", nice()?, i64::from(value))?;
            GO.set(1);
            thread.join()
        })?);
    }

    cx.ready()?;

    expect_eq("nice value of the root", nice()?, 0)?;
    stage.release();
    children.into_iter().try_for_each(Child::join)
}
