//! The second kind of system call, `scv`, which the kernel restarts differently.

use super::general_registers::{GENERAL, through};
use super::{Feature, over_read};
use crate::fp::helpers::blocked_threads;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the general registers over a system call that is blocked in scv",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    if !Feature::Scv.here() {
        return skip("the processor or the kernel has no scv");
    }
    blocked_threads(cx, 4, |blocked| {
        // Fields 2, 3 and 4 are kept as in a call of a function.
        let (input, output) = through(blocked, over_read::general_vectored, 0x00ff_f000)?;
        expect_bytes("fields 2 to 4 of the condition register", &output[GENERAL + 8..], &input[GENERAL + 8..])
    })
}
