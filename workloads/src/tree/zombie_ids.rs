//! A zombie that led a session, one that led a group, one that ran another program.

use super::kit;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "zombies with a session, a group and a name of their own",
    needs: &[],
    moving: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let leader = fork("a session leader", || {
        kit::new_session()?;
        kit::exit(3)
    })?;
    let alone = fork("a group leader", || {
        kit::set_group(0, 0)?;
        kit::exit(4)
    })?;
    let named = fork("a named one", || {
        std::fs::write("/proc/self/comm", "late lamented").context("set the name")?;
        kit::exit(5)
    })?;
    for zombie in [&leader, &alone, &named] {
        kit::wait_zombie(zombie.pid)?;
    }
    let me = sys::getpid();
    let ours = kit::family(me)?;

    cx.ready()?;

    expect_eq("family of the session leader", kit::family(leader.pid)?, (me, leader.pid, leader.pid))?;
    expect_eq("family of the group leader", kit::family(alone.pid)?, (me, alone.pid, ours.2))?;
    expect_eq("name", procfs::status(named.pid, "Name")?.as_str(), "late lamented")?;
    leader.join_as(3)?;
    alone.join_as(4)?;
    named.join_as(5)
}
