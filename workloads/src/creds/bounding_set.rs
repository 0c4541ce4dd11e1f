//! Capabilities dropped from the bounding set: exec cannot gain them any more.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the capability bounding set",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    use helpers::cap::{CHOWN, KILL, NET_BIND_SERVICE};
    let stage = Stage::new()?;
    let full = helpers::caps("CapBnd")?;
    let dropped = [CHOWN, KILL, NET_BIND_SERVICE];
    let change = || {
        dropped.iter().try_for_each(|cap| helpers::prctl(libc::PR_CAPBSET_DROP, u64::from(*cap)).map(drop))
    };
    let check = || expect_eq("bounding set", helpers::caps("CapBnd")?, full & !helpers::mask(&dropped));
    let child = helpers::changed_child(&stage, "the bounded process", change, check)?;
    let empty = helpers::changed_child(
        &stage,
        "the process that can gain nothing",
        || {
            (0..64)
                .filter(|n| full >> n & 1 == 1)
                .try_for_each(|n| helpers::prctl(libc::PR_CAPBSET_DROP, n).map(drop))
        },
        || expect_eq("bounding set", helpers::caps("CapBnd")?, 0u64),
    )?;

    cx.ready()?;

    stage.release();
    child.join()?;
    empty.join()
}
