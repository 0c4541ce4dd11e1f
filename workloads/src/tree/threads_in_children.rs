//! Children with threads, and a grandchild created by one of the threads.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads in several processes of a tree",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static DONE: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(stage.fork("a process with threads", |stage| {
            let mut threads = Vec::new();
            for _ in 0..3 {
                threads.push(thread::spawn(|| {
                    let tid = sys::gettid();
                    DONE.block_until(1);
                    expect_eq("tid", sys::gettid(), tid)
                })?);
            }
            for thread in &threads {
                thread.wait_blocked_in(libc::SYS_futex)?;
            }
            let tids = procfs::tids()?;
            stage.hold();
            expect_eq("threads", procfs::tids()?, tids)?;
            DONE.set(1);
            threads.into_iter().try_for_each(Thread::join)
        })?);
    }

    cx.ready()?;

    stage.release();
    children.into_iter().try_for_each(Child::join)
}
