//! A session outlives its leader: two members in two groups whose leaders have exited.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a session and a group whose leader has ended and been reaped",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    helpers::become_subreaper()?;
    let leader = fork("the session leader", || {
        helpers::new_session()?;
        for index in 0..2 {
            let member = fork("a member", || {
                stage.hold();
                Ok(())
            })?;
            if index == 1 {
                helpers::set_group(member.pid, member.pid)?;
            }
            stage.shared().cell(1 + index).set(member.pid.cast_unsigned());
        }
        Ok(())
    })?;
    let session = leader.pid;
    leader.join()?;
    let members =
        [1, 2].map(|word| helpers::known("a member", stage.shared().cell(word).get().cast_signed()));
    for member in &members {
        stage.wait_held(member)?;
    }

    cx.ready()?;

    expect(procfs::Stat::of(session).is_err(), || format!("the leader {session} is back"))?;
    let me = sys::getpid();
    expect_eq("family of the first", helpers::family(members[0].pid)?, (me, session, session))?;
    expect_eq("family of the second", helpers::family(members[1].pid)?, (me, members[1].pid, session))?;
    stage.release();
    members.into_iter().try_for_each(Child::join)
}
