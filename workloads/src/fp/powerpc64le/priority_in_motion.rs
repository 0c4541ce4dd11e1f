//! The program priority register, a hint to the processor, in a loop without a system call, which
//! would set it.

use crate::fp::helpers::spinning_threads;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads of low and very low priority that compute all the time",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    spinning_threads(cx, 2, |spinning| {
        let (mut before, mut after) = (0u64, 0u64);
        let stop = spinning.start();
        // SAFETY: `stop` lives as long as the thread; priorities up to medium are for everybody.
        unsafe { spin(stop, &mut before, &mut after) };
        expect_eq("PPR", after, before)
    })
}

/// Lowers the priority, and restores it before anything else.
#[unsafe(naked)]
unsafe extern "C" fn spin(stop: *const u32, before: *mut u64, after: *mut u64) {
    std::arch::naked_asm!(
        // Low priority.
        "or 1, 1, 1",
        "mfspr 6, 896",
        "std 6, 0(4)",
        "2:",
        "lwz 6, 0(3)",
        "cmpwi 6, 0",
        "beq 2b",
        "mfspr 6, 896",
        "std 6, 0(5)",
        // Medium priority.
        "or 2, 2, 2",
        "blr",
    )
}
