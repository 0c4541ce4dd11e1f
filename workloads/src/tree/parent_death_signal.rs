//! A process has a parent-death signal; the parent exits after the restart.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the parent-death signal: remembered, and sent when the parent ends afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    helpers::become_subreaper()?;
    let parent = stage.fork("the parent", |stage| {
        let child = stage.fork("the child", |stage| {
            signal::block(&[libc::SIGUSR1])?;
            // SAFETY: this prctl takes a number.
            sys::check("prctl", unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1) })?;
            stage.hold();
            let mut got = 0;
            // SAFETY: this prctl writes one int.
            sys::check("prctl", unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut got) })?;
            expect_eq("PR_GET_PDEATHSIG", got, libc::SIGUSR1)?;
            stage.shared().cell(2).set(1);
            signal::take_soon(&[libc::SIGUSR1]).context("the parent ended")?;
            helpers::exit(17)
        })?;
        stage.shared().cell(1).set(child.pid.cast_unsigned());
        stage.hold();
        // Exits only when the child has read its setting.
        stage.shared().cell(2).wait("the child to look", 1)
    })?;
    let child = helpers::known("the child", stage.shared().cell(1).get().cast_signed());

    cx.ready()?;

    stage.release();
    parent.join()?;
    child.join_as(17)
}
