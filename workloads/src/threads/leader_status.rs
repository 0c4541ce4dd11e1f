//! The last thread of a process ends by exit(2), not exit_group(2): the status of the process is
//! that of its leader, which has ended before (kernel/exit.c, `wait_task_zombie`), or in newer
//! kernels that of the last thread (`synchronize_group_exit`).

use super::leaderless::{CODE, fork_leaderless, verify};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process without main thread ends with its last thread, by exit(2)",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = fork_leaderless("process without leader", &stage, || {
        stage.hold();
        verify(&stage)?;
        // SAFETY: ends only this thread, which is the last.
        unsafe { libc::syscall(libc::SYS_exit, CODE) };
        Ok(())
    })?;

    cx.ready()?;

    stage.release();
    child.join_as(CODE)
}
