//! A zombie that led a session, one that led a group, one that ran another program.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "zombies with a session, a group and a name of their own",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let leader = fork("a session leader", || {
        helpers::new_session()?;
        helpers::exit(3)
    })?;
    let alone = fork("a group leader", || {
        helpers::set_group(0, 0)?;
        helpers::exit(4)
    })?;
    let named = fork("a named one", || {
        std::fs::write("/proc/self/comm", "late lamented").context("set the name")?;
        helpers::exit(5)
    })?;
    for zombie in [&leader, &alone, &named] {
        helpers::wait_zombie(zombie.pid)?;
    }
    let me = sys::getpid();
    let ours = helpers::family(me)?;

    cx.ready()?;

    expect_eq("family of the session leader", helpers::family(leader.pid)?, (me, leader.pid, leader.pid))?;
    expect_eq("family of the group leader", helpers::family(alone.pid)?, (me, alone.pid, ours.2))?;
    expect_eq("name", procfs::status(named.pid, "Name")?.as_str(), "late lamented")?;
    leader.join_as(3)?;
    alone.join_as(4)?;
    named.join_as(5)
}
