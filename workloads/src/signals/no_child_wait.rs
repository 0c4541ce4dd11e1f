//! SIGCHLD with SA_NOCLDWAIT: children leave no zombie, before and after.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "SA_NOCLDWAIT in force: a child that ends afterwards leaves nothing to wait for",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let set = signal::Action { flags: libc::SA_NOCLDWAIT as libc::c_ulong, ..signal::Action::default() };
    signal::set_action(libc::SIGCHLD, &set)?;
    let child = stage.fork("the child", |stage| {
        stage.hold();
        Ok(())
    })?;

    let pid = child.pid;

    cx.ready()?;

    stage.release();
    // Blocks until the last child is gone, and then finds none.
    let errno = fd::errno("waitpid", child.wait())?;
    expect_eq("errno of waitpid", errno, libc::ECHILD)?;
    // The parent is woken some instructions before the child is released (`exit_notify`,
    // kernel/exit.c).
    let entry = std::path::PathBuf::from(format!("/proc/{pid}"));
    sync::wait_until("the child to leave no zombie", || Ok(!entry.exists()))
}
