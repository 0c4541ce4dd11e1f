//! A child leads its own session, with a child in it; another child is in the root's session.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "sessions within the tree: leaders and members",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let root = sys::getpid();
    let leader = stage.fork("the session leader", |stage| {
        helpers::new_session()?;
        let me = sys::getpid();
        let member = stage.fork("the member", |stage| {
            stage.hold();
            expect_eq("family of the member", helpers::family(sys::getpid())?, (me, me, me))
        })?;
        let other = stage.fork("a leader below the leader", |stage| {
            helpers::new_session()?;
            let own = sys::getpid();
            stage.hold();
            expect_eq("family of the leader below", helpers::family(own)?, (me, own, own))
        })?;
        stage.hold();
        expect_eq("family of the leader", helpers::family(me)?, (root, me, me))?;
        member.join()?;
        other.join()
    })?;
    let ours = helpers::family(root)?;
    let member = stage.fork("a member of the root's session", |stage| {
        stage.hold();
        expect_eq("family", helpers::family(sys::getpid())?, (root, ours.1, ours.2))
    })?;

    cx.ready()?;

    stage.release();
    leader.join()?;
    member.join()
}
