//! A child has not reaped its own child: the zombie is one level down.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a zombie whose parent is not the root, reaped by its parent",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = stage.fork("the negligent parent", |stage| {
        let zombies = [helpers::zombie(11)?, helpers::zombie(12)?];
        stage.hold();
        for (index, zombie) in zombies.into_iter().enumerate().rev() {
            expect_eq("state", procfs::Stat::of(zombie.pid)?.state, 'Z')?;
            zombie.join_as(11 + index as i32)?;
        }
        Ok(())
    })?;

    cx.ready()?;

    stage.release();
    child.join()
}
