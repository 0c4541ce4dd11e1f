//! A zombie whose status has been read with WNOWAIT and which was not reaped.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "waitid with WNOWAIT before and after: the zombie stays until it is reaped",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let zombie = helpers::zombie(55)?;
    let look = libc::WEXITED | libc::WNOWAIT;
    let want = Some((libc::CLD_EXITED, 55, zombie.pid));
    expect_eq("before", helpers::waitid(libc::P_PID, zombie.pid, look)?, want)?;

    cx.ready()?;

    expect_eq("after", helpers::waitid(libc::P_PID, zombie.pid, look)?, want)?;
    expect_eq("after, again", helpers::waitid(libc::P_ALL, 0, look)?, want)?;
    zombie.join_as(55)
}
