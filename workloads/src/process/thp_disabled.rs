//! prctl(PR_SET_THP_DISABLE), which children inherit too.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "huge pages switched off for the whole process",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: no memory arguments.
    let rc = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    if sys::errno_of(rc) == Some(libc::EINVAL) {
        return skip("the kernel has no PR_SET_THP_DISABLE");
    }
    sys::check("prctl(PR_SET_THP_DISABLE)", rc)?;

    cx.ready()?;

    expect_eq("PR_GET_THP_DISABLE", disabled()?, 1)?;
    fork("child", || expect_eq("PR_GET_THP_DISABLE in a child", disabled()?, 1))?.join()
}

fn disabled() -> anyhow::Result<i32> {
    // SAFETY: no memory arguments.
    sys::check("prctl(PR_GET_THP_DISABLE)", unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) })
}
