//! prctl(PR_SET_THP_DISABLE) with PR_THP_DISABLE_EXCEPT_ADVISED (Linux 6.18): the result of
//! PR_GET_THP_DISABLE is more than a boolean.

use crate::framework::prelude::*;

/// include/uapi/linux/prctl.h
const PR_THP_DISABLE_EXCEPT_ADVISED: libc::c_int = 1 << 1;

pub const WORKLOAD: Workload = Workload {
    purpose: "huge pages switched off but where they were asked for",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: no memory arguments.
    let rc = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, PR_THP_DISABLE_EXCEPT_ADVISED, 0, 0) };
    if sys::errno_of(rc) == Some(libc::EINVAL) {
        return skip("the kernel has no PR_THP_DISABLE_EXCEPT_ADVISED");
    }
    sys::check("prctl(PR_SET_THP_DISABLE)", rc)?;

    cx.ready()?;

    // SAFETY: no memory arguments.
    let told = unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) };
    expect_eq("PR_GET_THP_DISABLE", sys::check("prctl", told)?, 1 | PR_THP_DISABLE_EXCEPT_ADVISED)
}
