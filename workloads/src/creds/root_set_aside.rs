//! A process that dropped root privileges but kept root as its saved id regains them afterwards.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "saved user id 0: capabilities permitted but not effective, and effective again",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let before = helpers::caps("CapEff")?;
    let change = || {
        helpers::set_uids(1000, 1000, 0)?;
        expect_eq("effective capabilities", helpers::caps("CapEff")?, 0u64)?;
        expect(helpers::caps("CapPrm")? != 0, || "no capability is permitted".into())
    };
    let check = || {
        helpers::set_uids(0, 0, 0)?;
        expect_eq("effective capabilities of root", helpers::caps("CapEff")?, before)
    };
    let child = helpers::changed_child(&stage, "the process that is not root for now", change, check)?;

    cx.ready()?;

    stage.release();
    child.join()
}
