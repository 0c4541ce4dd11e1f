//! Children created by clone with an exit signal other than SIGCHLD, or none.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the exit signal of a process: SIGUSR2, a real-time one, none",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const SIGNALS: [i32; 3] = [libc::SIGUSR2, 39, 0];

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let watched = [libc::SIGUSR2, 39, libc::SIGCHLD];
    signal::block(&watched)?;
    let mut children = Vec::new();
    for number in SIGNALS {
        // SAFETY: without a new stack or shared memory this is fork; the child only ends through
        // `exit`.
        let pid = sys::check("clone", unsafe { libc::syscall(libc::SYS_clone, number as u64, 0, 0, 0, 0) })?;
        if pid == 0 {
            stage.hold();
            helpers::exit(90);
        }
        let child = helpers::known("a cloned child", pid as libc::pid_t);
        stage.wait_held(&child)?;
        children.push(child);
    }

    cx.ready()?;

    for (child, number) in children.iter().zip(SIGNALS) {
        expect_eq("exit signal in stat", procfs::Stat::of(child.pid)?.field(38)?, i64::from(number))?;
    }
    stage.release();
    for (child, number) in children.iter().zip(SIGNALS) {
        let found = helpers::waitid(libc::P_PID, child.pid, libc::WEXITED | libc::__WALL)?;
        expect_eq("found", found, Some((libc::CLD_EXITED, 90, child.pid)))?;
        let info = signal::take(&watched)?.map(|info| (info.signal(), info.pid()));
        expect_eq("signal", info, (number != 0).then_some((number, child.pid)))?;
    }
    Ok(())
}
