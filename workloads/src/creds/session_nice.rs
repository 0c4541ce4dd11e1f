//! /proc/PID/autogroup: the nice value of a session, which its processes share.

use crate::framework::prelude::*;
use std::fs;

pub const WORKLOAD: Workload = Workload {
    purpose: "nice values of two sessions, one of which has two processes",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const OWN: &str = "/proc/self/autogroup";

fn run(cx: &mut Ctx) -> Outcome {
    if !fs::read_to_string(OWN).is_ok_and(|text| text.contains(" nice ")) {
        return skip(
            "sessions have no nice value here (CONFIG_SCHED_AUTOGROUP, kernel.sched_autogroup_enabled)",
        );
    }
    let stage = Stage::new()?;
    let mut leaders = Vec::new();
    for (nice, has_member) in [(7, true), (13, false)] {
        leaders.push(stage.fork("the leader of a session", |stage| {
            // SAFETY: setsid has no preconditions.
            sys::check("setsid", unsafe { libc::setsid() })?;
            // Ordinary users may change one in 100 ms.
            sync::wait_until("the kernel to take a nice value", || match fs::write(OWN, nice.to_string()) {
                Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => Ok(false),
                written => Ok(written.map(|()| true)?),
            })?;
            let expect = move |who: &str| {
                let text = fs::read_to_string(OWN)?;
                let now = text.trim().rsplit(' ').next().unwrap_or_default().to_owned();
                expect_eq(who, now, nice.to_string())
            };
            let member = has_member.then(|| {
                stage.fork("a member of its session", |stage| {
                    stage.hold();
                    expect("nice value of the member's session")
                })
            });
            let member = member.transpose()?;
            stage.hold();
            expect("nice value of the leader's session")?;
            member.map_or(Ok(()), Child::join)
        })?);
    }

    cx.ready()?;

    stage.release();
    leaders.into_iter().try_for_each(Child::join)
}
