//! The thread group leader is a zombie: its /proc/PID/status says so, other threads run on and end
//! the process later.

use super::leaderless::{fork_leaderless, verify};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process whose main thread has ended while another lives on",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = fork_leaderless("process without leader", &stage, || {
        stage.hold();
        verify(&stage)
    })?;

    cx.ready()?;

    stage.release();
    child.join()
}
