//! Few capabilities, different ones effective, permitted and inheritable.

use super::kit;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the effective, permitted and inheritable capabilities of root with little left",
    needs: &[Need::Root],
    moving: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    use kit::cap::{CHOWN, DAC_OVERRIDE, KILL, NET_BIND_SERVICE};
    let stage = Stage::new()?;
    let permitted = kit::mask(&[CHOWN, KILL, DAC_OVERRIDE]);
    let (effective, inheritable) = (kit::mask(&[KILL]), kit::mask(&[CHOWN, NET_BIND_SERVICE]));
    let change = || kit::set_caps(effective, permitted, inheritable);
    let check = || {
        let sets = (kit::caps("CapEff")?, kit::caps("CapPrm")?, kit::caps("CapInh")?);
        expect_eq("effective, permitted, inheritable", sets, (effective, permitted, inheritable))?;
        // A permitted capability can be made effective again, another one cannot.
        kit::set_caps(permitted, permitted, inheritable)?;
        let more = permitted | kit::mask(&[NET_BIND_SERVICE]);
        expect_eq("asking for more", fd::errno("capset", kit::set_caps(more, more, 0))?, libc::EPERM)
    };
    let some = kit::changed_child(&stage, "the process with few capabilities", change, check)?;
    let none = kit::changed_child(&stage, "the process with none", || kit::set_caps(0, 0, 0), || Ok(()))?;

    cx.ready()?;

    stage.release();
    some.join()?;
    none.join()
}
