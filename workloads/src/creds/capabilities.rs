//! Few capabilities, different ones effective, permitted and inheritable.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the effective, permitted and inheritable capabilities of root with little left",
    needs: &[Need::Root],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    use helpers::cap::{CHOWN, DAC_OVERRIDE, KILL, NET_BIND_SERVICE};
    let stage = Stage::new()?;
    let permitted = helpers::mask(&[CHOWN, KILL, DAC_OVERRIDE]);
    let (effective, inheritable) = (helpers::mask(&[KILL]), helpers::mask(&[CHOWN, NET_BIND_SERVICE]));
    let change = || helpers::set_caps(effective, permitted, inheritable);
    let check = || {
        let sets = (helpers::caps("CapEff")?, helpers::caps("CapPrm")?, helpers::caps("CapInh")?);
        expect_eq("effective, permitted, inheritable", sets, (effective, permitted, inheritable))?;
        // A permitted capability can be made effective again, another one cannot.
        helpers::set_caps(permitted, permitted, inheritable)?;
        let more = permitted | helpers::mask(&[NET_BIND_SERVICE]);
        expect_eq("asking for more", fd::errno("capset", helpers::set_caps(more, more, 0))?, libc::EPERM)
    };
    let some = helpers::changed_child(&stage, "the process with few capabilities", change, check)?;
    let none =
        helpers::changed_child(&stage, "the process with none", || helpers::set_caps(0, 0, 0), || Ok(()))?;

    cx.ready()?;

    stage.release();
    some.join()?;
    none.join()
}
