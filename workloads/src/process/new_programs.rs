//! A restored process must be able to start others: by fork(2) and execve(2), and by the vfork(2)
//! of posix_spawn(3).

use crate::framework::prelude::*;
use std::process::{Command, Stdio};

pub const WORKLOAD: Workload = Workload {
    purpose: "fork, vfork and execve after a restart",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let exe = std::env::current_exe().context("path of the executable")?;
    let (path, argv) = helper::command("exit", &["42"])?;

    cx.ready()?;

    let output = Command::new(&exe)
        .args(["helper", "echo", "one", "two words"])
        .stdin(Stdio::null())
        .output()
        .context("spawn")?;
    expect(output.status.success(), || format!("spawned program: {}", output.status))?;
    expect_bytes("its output", &output.stdout, b"one\ntwo words\n")?;
    fork("executing child", || Err(helper::exec(&path, &argv)))?.join_as(42)
}
