//! A thread other than the first waits for a child that another thread has created.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread blocked in wait for a child of another thread, and one made by a thread",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    static BORN: Cell = Cell::new();
    static GO: Cell = Cell::new();
    let shared: &'static Shared = Box::leak(Box::new(Shared::new()?));
    let child = fork("the child of the main thread", || {
        shared.cell(0).block_until(1);
        helpers::exit(71)
    })?;
    let pid = child.pid;
    let waiter = thread::spawn(move || helpers::known("the child of the main thread", pid).join_as(71))?;
    let maker = thread::spawn(move || {
        let own = fork("the child of a thread", || {
            shared.cell(0).block_until(1);
            helpers::exit(72)
        })?;
        BORN.set(1);
        GO.block_until(1);
        own.join_as(72)
    })?;
    // Only then may this thread read /proc: a child would inherit its open files.
    BORN.wait("the child of a thread", 1)?;
    waiter.wait_blocked_in(libc::SYS_wait4)?;
    maker.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    shared.cell(0).set(1);
    GO.set(1);
    waiter.join()?;
    maker.join()
}
