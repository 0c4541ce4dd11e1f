//! The next x87 instruction that waits raises SIGFPE: after the restart, not during it. The handler
//! clears the flags in the frame and the instruction runs once more.

use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicI32, Ordering};

pub const WORKLOAD: Workload = Workload {
    purpose: "an x87 exception that is unmasked and pending",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Floating-point division by zero (include/uapi/asm-generic/siginfo.h).
const FPE_FLTDIV: i32 = 3;

static CODE: AtomicI32 = AtomicI32::new(0);
static HANDLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn handler(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel passes valid pointers to a handler with SA_SIGINFO; the saved x87 state
    // belongs to the frame.
    unsafe {
        CODE.store((*info).si_code, Ordering::SeqCst);
        let state = (*context.cast::<libc::ucontext_t>()).uc_mcontext.fpregs;
        (*state).swd &= !0x80ff;
    }
}

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: the handler only touches atomics and its own frame, so it is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        sys::check("sigaction", libc::sigaction(libc::SIGFPE, &action, std::ptr::null_mut()))?;
    }
    blocked_threads(cx, 1, |blocked| {
        let mut input = Aligned([0; 512]);
        // Division by zero unmasked in the control word, set with the summary and busy bits in the
        // status word.
        input.0[0..2].copy_from_slice(&0x037bu16.to_le_bytes());
        input.0[2..4].copy_from_slice(&0x8084u16.to_le_bytes());
        input.0[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
        let output = blocked.through(over_read::fxsave_and_wait, &input)?;
        expect_bytes("control and status word", &output.0[..4], &input.0[..4])?;
        expect_eq("signals", HANDLED.load(Ordering::SeqCst), 1)?;
        expect_eq("code of the signal", CODE.load(Ordering::SeqCst), FPE_FLTDIV)
    })
}
