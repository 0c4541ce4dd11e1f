//! A child is a subreaper, its sibling is not: later orphans get the right parent.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the subreaper flag of each process, and adoption that follows it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn is_subreaper() -> anyhow::Result<i32> {
    let mut got = -1;
    // SAFETY: this prctl writes one int.
    sys::check("prctl", unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut got) })?;
    Ok(got)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let plain = stage.fork("no subreaper", |stage| {
        stage.hold();
        expect_eq("subreaper", is_subreaper()?, 0)
    })?;
    let reaper = stage.fork("the subreaper", |stage| {
        helpers::become_subreaper()?;
        stage.hold();
        expect_eq("subreaper", is_subreaper()?, 1)?;
        let me = sys::getpid();
        let parent = fork("a short-lived parent", || {
            let orphan = fork("the orphan", || {
                sync::wait_until("adoption", || Ok(helpers::parent() == me))?;
                helpers::exit(23)
            })?;
            stage.shared().cell(1).set(orphan.pid.cast_unsigned());
            Ok(())
        })?;
        parent.join()?;
        helpers::known("the orphan", stage.shared().cell(1).get().cast_signed()).join_as(23)
    })?;

    cx.ready()?;

    expect_eq("subreaper", is_subreaper()?, 0)?;
    stage.release();
    plain.join()?;
    reaper.join()
}
