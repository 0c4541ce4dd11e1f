//! prctl(PR_SET_DUMPABLE, 0): the /proc files of the process then belong to root and ptrace(2)
//! needs the capability.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the dumpable attribute switched off",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: no memory arguments.
    sys::check("prctl(PR_SET_DUMPABLE)", unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) })?;

    cx.ready()?;

    // SAFETY: no memory arguments.
    expect_eq("PR_GET_DUMPABLE", unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 0)
}
