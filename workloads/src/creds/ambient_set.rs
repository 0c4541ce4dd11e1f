//! An ordinary user's process with ambient capabilities, which survive an exec.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "ambient capabilities of a process that is not root",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    use helpers::cap::{KILL, NET_BIND_SERVICE};
    let stage = Stage::new()?;
    let set = helpers::mask(&[KILL, NET_BIND_SERVICE]);
    let change = || {
        helpers::prctl(libc::PR_SET_KEEPCAPS, 1)?;
        helpers::set_uids(1000, 1000, 1000)?;
        helpers::set_caps(set, set, set)?;
        for cap in [KILL, NET_BIND_SERVICE] {
            let raise = libc::PR_CAP_AMBIENT_RAISE as u64;
            // SAFETY: this prctl takes numbers.
            sys::check("prctl(PR_CAP_AMBIENT)", unsafe {
                libc::prctl(libc::PR_CAP_AMBIENT, raise, u64::from(cap), 0u64, 0u64)
            })?;
        }
        expect_eq("ambient set", helpers::caps("CapAmb")?, set)
    };
    let check = || {
        let sets = (helpers::caps("CapAmb")?, helpers::caps("CapEff")?);
        expect_eq("ambient and effective", sets, (set, set))
    };
    let child = helpers::changed_child(&stage, "the process with ambient capabilities", change, check)?;

    cx.ready()?;

    stage.release();
    child.join()
}
