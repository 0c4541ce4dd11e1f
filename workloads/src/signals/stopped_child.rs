//! A stopped process, reported to its parent, stays stopped until SIGCONT.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process stopped by SIGSTOP, and that it can be continued",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = stage.fork("the stopped process", |stage| {
        stage.hold();
        stage.shared().cell(1).set(1);
        // Stays until the parent has seen it continue.
        stage.shared().cell(2).block_until(1);
        Ok(())
    })?;
    child.kill(libc::SIGSTOP)?;
    let mut status = 0;
    // SAFETY: the status lives through the call.
    sys::check("waitpid", unsafe { libc::waitpid(child.pid, &mut status, libc::WUNTRACED) })?;
    expect(libc::WIFSTOPPED(status), || format!("status {status:#x} is no stop"))?;

    cx.ready()?;

    expect_eq("state", procfs::Stat::of(child.pid)?.state, 'T')?;
    stage.release();
    expect_eq("progress while stopped", stage.shared().cell(1).get(), 0u32)?;
    child.kill(libc::SIGCONT)?;
    // SAFETY: as above.
    sys::check("waitpid", unsafe { libc::waitpid(child.pid, &mut status, libc::WCONTINUED) })?;
    expect(libc::WIFCONTINUED(status), || format!("status {status:#x} is no continuation"))?;
    stage.shared().cell(1).wait("the child to go on", 1)?;
    stage.shared().cell(2).set(1);
    child.join()
}
