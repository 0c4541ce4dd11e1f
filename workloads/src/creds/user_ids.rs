//! Real, effective, saved and file-system user ids, all different, without any privilege left.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the four user ids of a process that is nobody special",
    needs: &[Need::Root],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = helpers::changed_child(
        &stage,
        "the unprivileged process",
        || {
            helpers::set_uids(1001, 1002, 1003)?;
            // SAFETY: setfsuid takes a number; it has no error, the check below finds it.
            unsafe { libc::setfsuid(1003) };
            expect_eq("ids", helpers::numbers("Uid")?, vec![1001, 1002, 1003, 1003])?;
            expect_eq("permitted capabilities", helpers::caps("CapPrm")?, 0)
        },
        || {
            expect_eq(
                "becoming root again",
                fd::errno("setresuid", helpers::set_uids(0, 0, 0))?,
                libc::EPERM,
            )?;
            helpers::set_uids(1003, 1001, 1002)
        },
    )?;

    cx.ready()?;

    stage.release();
    child.join()
}
