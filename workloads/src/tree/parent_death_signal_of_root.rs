//! The root of the tree has a parent-death signal; its parent is a process outside: the setting
//! stays, and no signal is sent.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the parent-death signal of the root of a tree: remembered, and not sent",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    signal::block(&[libc::SIGUSR1])?;
    // SAFETY: this prctl takes a number.
    sys::check("prctl", unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1) })?;

    cx.ready()?;

    let mut got = 0;
    // SAFETY: this prctl writes one int.
    sys::check("prctl", unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut got) })?;
    expect_eq("PR_GET_PDEATHSIG", got, libc::SIGUSR1)?;
    expect_eq("pending", signal::pending()? & signal::bit(libc::SIGUSR1), 0)
}
