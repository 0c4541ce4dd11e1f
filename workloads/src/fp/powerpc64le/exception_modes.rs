//! prctl(PR_SET_FPEXC): whether an exception that FPSCR enables is a signal.

use crate::framework::prelude::*;
use std::arch::asm;

pub const WORKLOAD: Workload = Workload {
    purpose: "modes of floating point exceptions: a division by zero that kills, one that does not, what is merely asked for",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let hold = |mode: libc::c_int, then: fn()| {
        stage.fork("a mode", |stage| {
            // SAFETY: no memory arguments.
            sys::check("prctl(PR_SET_FPEXC)", unsafe { libc::prctl(libc::PR_SET_FPEXC, mode) })?;
            stage.hold();
            let mut now = -1;
            // SAFETY: `now` lives through the call.
            sys::check("prctl(PR_GET_FPEXC)", unsafe { libc::prctl(libc::PR_GET_FPEXC, &mut now) })?;
            expect_eq("mode of exceptions", now, mode)?;
            then();
            Ok(())
        })
    };
    let disabled = hold(libc::PR_FP_EXC_DISABLED, divide)?;
    let merely: Vec<_> = [libc::PR_FP_EXC_NONRECOV, libc::PR_FP_EXC_ASYNC, libc::PR_FP_EXC_PRECISE]
        .into_iter()
        .map(|mode| hold(mode, || {}))
        .collect::<Result<_, _>>()?;
    let precise = hold(libc::PR_FP_EXC_PRECISE, divide)?;

    cx.ready()?;

    stage.release();
    disabled.join()?;
    merely.into_iter().try_for_each(Child::join)?;
    precise.join_killed(libc::SIGFPE)
}

/// Divides by zero with that exception enabled, and disables it again.
fn divide() {
    const ZE: u64 = 0x10;
    // SAFETY: the registers are declared; FPSCR is back at its default afterwards.
    unsafe {
        asm!(
            "mtfsf 255, {enabled}",
            "fdiv {result}, {one}, {zero}",
            "mtfsf 255, {zero}",
            enabled = in(freg) f64::from_bits(ZE),
            one = in(freg) 1f64,
            zero = in(freg) 0f64,
            result = out(freg) _,
        );
    }
}
