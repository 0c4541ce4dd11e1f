//! Children created afterwards, by fork, vfork and spawn, in the root and in a child.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "making processes works after a restart, and new ids are new",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn breed(taken: &[libc::pid_t]) -> Outcome {
    for _ in 0..3 {
        let child = fork("a new child", || helpers::exit(5))?;
        expect(!taken.contains(&child.pid), || format!("pid {} was given twice", child.pid))?;
        child.join_as(5)?;
    }
    let program = std::fs::read_link("/proc/self/exe").context("readlink")?;
    // The standard library spawns by a vfork-like clone.
    let status =
        std::process::Command::new(program).args(["helper", "exit", "9"]).status().context("spawn")?;
    expect_eq("exit code", status.code(), Some(9))
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let root = sys::getpid();
    let child = stage.fork("the child", |stage| {
        stage.hold();
        breed(&[root, sys::getpid()])
    })?;

    cx.ready()?;

    breed(&[root, child.pid])?;
    stage.release();
    child.join()
}
