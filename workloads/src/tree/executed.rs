//! A child has executed a program with other arguments and another environment.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a child that runs another program: its command line, environment, name",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (path, argv) = helper::command("pause", &["an argument", "", "another one"])?;
    let child = fork("the executed program", || {
        let environment = [c"CAIRN_A=1".to_owned(), c"CAIRN_EMPTY=".to_owned()];
        match nix::unistd::execve(&path, &argv, &environment) {
            Ok(never) => match never {},
            Err(errno) => Err(errno).context("execve"),
        }
    })?;
    let (name, pid) = (child.name, child.pid);
    sync::wait_until("the program to run", || {
        Ok(std::fs::read(format!("/proc/{pid}/environ"))?.starts_with(b"CAIRN_A"))
    })?;
    stage.wait_in(&child, arch::PAUSE).context(name)?;
    let facts = || {
        anyhow::Ok((
            std::fs::read(format!("/proc/{pid}/cmdline"))?,
            std::fs::read(format!("/proc/{pid}/environ"))?,
            std::fs::read_link(format!("/proc/{pid}/exe"))?,
            std::fs::read(format!("/proc/{pid}/comm"))?,
        ))
    };
    let want = facts()?;

    cx.ready()?;

    expect_eq("command line, environment, executable, name", facts()?, want)?;
    child.kill(libc::SIGTERM)?;
    child.join_killed(libc::SIGTERM)
}
