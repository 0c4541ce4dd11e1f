//! The thread pointer holds any number while no compiled code runs; the one that programs only read
//! is the kernel's; with SME there is one more.

use super::{Feature, over_read};
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "TPIDR_EL0, TPIDR2_EL0 and TPIDRRO_EL0, by thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let before = (arch::thread_pointer(), read_only());
    blocked_threads(cx, 4, |blocked| {
        let before = (arch::thread_pointer(), read_only());
        let want = Rng::new(blocked.key).word();
        let second = blocked.number % 2 == 1 && Feature::Sme.here();
        let function = if second { over_read::tpidr2 } else { over_read::tpidr };
        let output = blocked.through(function, &Aligned(want.to_ne_bytes()))?;
        let name = if second { "TPIDR2_EL0" } else { "TPIDR_EL0" };
        expect_eq(name, u64::from_ne_bytes(output.0), want)?;
        expect_eq("TPIDR_EL0 and TPIDRRO_EL0", (arch::thread_pointer(), read_only()), before)
    })?;
    expect_eq("TPIDR_EL0 and TPIDRRO_EL0 of the main thread", (arch::thread_pointer(), read_only()), before)
}

fn read_only() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mrs {}, tpidrro_el0", out(reg) value, options(nomem, nostack, preserves_flags))
    };
    value
}
