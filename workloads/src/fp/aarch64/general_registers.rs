//! All registers but the one that the system call itself changes, with different values in four
//! threads.

use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the general registers over a blocked system call",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Bytes of x3–x7 and x9–x30.
const LOADED: usize = 27 * 8;

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, 4, |blocked| {
        let mut input = Aligned([0; 256]);
        pattern::fill(&mut input.0, blocked.key);
        let output = blocked.through(over_read::general, &input)?;
        expect_bytes("x3 to x7, x9 to x30", &output.0[..LOADED], &input.0[..LOADED])?;
        let word = |index: usize| {
            u64::from_ne_bytes(output.0[8 * index..8 * index + 8].try_into().expect("eight bytes"))
        };
        expect(word(27) != 0, || "x1 is zero".into())?;
        expect_eq("x2, the length", word(28), 1)?;
        expect_eq("x8, the number of the call", word(29), libc::SYS_read as u64)?;
        expect_eq("stack pointer", word(30), word(31))
    })
}
