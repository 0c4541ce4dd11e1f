//! A process group outlives its leader: the id stays in use, the process is gone.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process group whose leader has ended and been reaped",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let leader = fork("the leader", || {
        // SAFETY: pause has no preconditions.
        unsafe { libc::pause() };
        Ok(())
    })?;
    helpers::set_group(leader.pid, leader.pid)?;
    let mut members = Vec::new();
    for _ in 0..2 {
        let member = stage.fork("a member", |stage| {
            stage.hold();
            Ok(())
        })?;
        helpers::set_group(member.pid, leader.pid)?;
        members.push(member);
    }
    let group = leader.pid;
    leader.kill(libc::SIGKILL)?;
    leader.join_killed(libc::SIGKILL)?;

    cx.ready()?;

    expect(procfs::Stat::of(group).is_err(), || format!("the leader {group} is back"))?;
    for member in &members {
        expect_eq("group", helpers::family(member.pid)?.1, group)?;
    }
    signal::kill(-group, libc::SIGTERM)?;
    members.into_iter().try_for_each(|member| member.join_killed(libc::SIGTERM))
}
