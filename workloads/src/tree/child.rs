//! A child: the ids that it remembers are those that the kernel returns.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "one child with its pid, parent, group and session, in memory and in the kernel",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let me = sys::getpid();
    let child = stage.fork("the child", |stage| {
        let ids = (sys::getpid(), sys::gettid(), helpers::parent());
        let family = helpers::family(sys::getpid())?;
        stage.hold();
        expect_eq("pid, tid, ppid", (sys::getpid(), sys::gettid(), helpers::parent()), ids)?;
        expect_eq("parent, group, session", helpers::family(ids.0)?, family)?;
        expect_eq("ids at all", (ids.0, ids.2), (ids.1, me))
    })?;
    let family = helpers::family(me)?;

    cx.ready()?;

    expect_eq("pid of the root", sys::getpid(), me)?;
    let now = helpers::family(me)?;
    expect_eq("group and session of the root", (now.1, now.2), (family.1, family.2))?;
    stage.release();
    child.join()
}
