//! A process created by its sibling: clone with CLONE_PARENT.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process whose parent is not the one that made it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let root = sys::getpid();
    let maker = stage.fork("the maker", |stage| {
        let flags = libc::CLONE_PARENT as u64;
        // SAFETY: without a new stack or shared memory this is fork; the child only ends through
        // `exit`.
        let pid = sys::check("clone", unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
        if pid == 0 {
            stage.hold();
            helpers::exit(if helpers::parent() == root { 81 } else { 1 });
        }
        stage.shared().cell(1).set(pid as u32);
        stage.hold();
        let errno = fd::errno("waitpid", helpers::known("the sibling", pid as i32).wait())?;
        expect_eq("errno of waiting for a sibling", errno, libc::ECHILD)
    })?;
    let sibling = helpers::known("the sibling", stage.shared().cell(1).get().cast_signed());
    stage.wait_held(&sibling)?;

    cx.ready()?;

    expect_eq("parent", helpers::family(sibling.pid)?.0, root)?;
    stage.release();
    maker.join()?;
    sibling.join_as(81)
}
