//! The leader of a process group is a zombie; a member lives.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process group whose leader is a zombie",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let leader = fork("the leader", || {
        stage.shared().cell(1).block_until(1);
        helpers::exit(9)
    })?;
    helpers::set_group(leader.pid, leader.pid)?;
    let member = stage.fork("the member", |stage| {
        stage.hold();
        Ok(())
    })?;
    helpers::set_group(member.pid, leader.pid)?;
    stage.shared().cell(1).set(1);
    helpers::wait_zombie(leader.pid)?;

    cx.ready()?;

    expect_eq("state of the leader", procfs::Stat::of(leader.pid)?.state, 'Z')?;
    expect_eq("group of the member", helpers::family(member.pid)?.1, leader.pid)?;
    expect_eq("group of the leader", helpers::family(leader.pid)?.1, leader.pid)?;
    leader.join_as(9)?;
    expect_eq("group of the member, leader reaped", helpers::family(member.pid)?.1, member_group(&member)?)?;
    stage.release();
    member.join()
}

/// By the system call, not /proc.
fn member_group(member: &Child) -> anyhow::Result<libc::pid_t> {
    // SAFETY: getpgid takes no memory.
    sys::check("getpgid", unsafe { libc::getpgid(member.pid) })
}
