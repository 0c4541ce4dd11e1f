//! A process whose parent has exited is a child of the subreaper between it and the root.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an orphan adopted by a subreaper inside of the tree",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let reaper = stage.fork("the subreaper", |stage| {
        helpers::become_subreaper()?;
        let me = sys::getpid();
        let parent = fork("the short-lived parent", || {
            let orphan = fork("the orphan", || {
                stage.hold();
                expect_eq("parent of the orphan", helpers::parent(), me)?;
                helpers::exit(21)
            })?;
            stage.shared().cell(1).set(orphan.pid.cast_unsigned());
            Ok(())
        })?;
        parent.join()?;
        let orphan = helpers::known("the orphan", stage.shared().cell(1).get().cast_signed());
        stage.wait_held(&orphan)?;
        expect_eq("family before", helpers::family(orphan.pid)?.0, me)?;
        stage.hold();
        orphan.join_as(21)
    })?;

    cx.ready()?;

    stage.release();
    reaper.join()
}
