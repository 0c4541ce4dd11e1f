//! Processes with different classes and levels of I/O priority.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the I/O priority of each process and thread",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn get() -> anyhow::Result<i64> {
    // SAFETY: takes no memory. 1: a process.
    sys::check("ioprio_get", unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) })
}

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let stage = Stage::new()?;
    let mut children = Vec::new();
    // Class and level: idle, best effort 6, best effort 0, real time 3, none.
    for (class, level) in [(3, 0), (2, 6), (2, 0), (1, 3), (0, 0)] {
        let set = move || {
            let value = class << 13 | level;
            // SAFETY: takes no memory.
            sys::check("ioprio_set", unsafe { libc::syscall(libc::SYS_ioprio_set, 1, 0, value) })
        };
        children.push(stage.fork("a process with a priority", |stage| {
            let other = thread::spawn(|| {
                let want = get()?;
                GO.block_until(1);
                expect_eq("I/O priority of the thread", get()?, want)
            })?;
            other.wait_blocked_in(libc::SYS_futex)?;
            set()?;
            let want = get()?;
            stage.hold();
            expect_eq(&format!("I/O priority, class {class} level {level}"), get()?, want)?;
            GO.set(1);
            other.join()
        })?);
    }

    cx.ready()?;

    stage.release();
    children.into_iter().try_for_each(Child::join)
}
