//! A whole process group is stopped by a terminal stop signal and continued.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a stopped process group, its members and a bystander",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let mut members = Vec::new();
    for _ in 0..3 {
        let member = stage.fork("a member", |stage| {
            stage.hold();
            Ok(())
        })?;
        helpers::set_group(member.pid, members.first().map_or(member.pid, |first: &Child| first.pid))?;
        members.push(member);
    }
    let bystander = stage.fork("the bystander", |stage| {
        stage.hold();
        Ok(())
    })?;
    let group = members[0].pid;
    signal::kill(-group, libc::SIGSTOP)?;
    for member in &members {
        member.wait_stopped()?;
        helpers::waitid(libc::P_PID, member.pid, libc::WSTOPPED)?;
    }

    cx.ready()?;

    for member in &members {
        expect_eq("state", procfs::Stat::of(member.pid)?.state, 'T')?;
        expect_eq("group", helpers::family(member.pid)?.1, group)?;
        let news = helpers::waitid(libc::P_PID, member.pid, libc::WSTOPPED | libc::WNOHANG)?;
        expect_eq("a stop reported before", news, None)?;
    }
    stage.release();
    bystander.join()?;
    signal::kill(members[2].pid, libc::SIGKILL)?;
    signal::kill(-group, libc::SIGCONT)?;
    let last = members.pop().context("three members")?;
    last.join_killed(libc::SIGKILL)?;
    members.into_iter().try_for_each(Child::join)
}
