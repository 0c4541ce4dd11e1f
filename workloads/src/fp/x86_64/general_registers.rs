//! All registers but the three that the system call itself changes, with different values in four
//! threads.

use super::over_read;
use crate::fp::helpers::{Aligned, Blocked, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the general registers over a blocked system call",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, 4, |blocked| {
        let mut input = Aligned([0; 112]);
        pattern::fill(&mut input.0, blocked.key);
        let output = blocked.through(over_read::general, &input)?;
        expect_bytes("rbx, rbp, r8, r9, r10, r12 to r15", &output.0[..72], &input.0[..72])?;
        let word = |index: usize| {
            u64::from_ne_bytes(output.0[8 * index..8 * index + 8].try_into().expect("eight bytes"))
        };
        arguments(blocked, word(9), word(11))?;
        expect(word(10) != 0, || "rsi is zero".into())?;
        expect_eq("rsp", word(12), word(13))
    })
}

/// rdi and rdx hold the arguments of read(2) still: a descriptor, and the length 1.
fn arguments(blocked: &Blocked, rdi: u64, rdx: u64) -> Outcome {
    expect_eq("rdi", rdi, blocked.fd() as u64)?;
    expect_eq("rdx", rdx, 1)
}
