//! The status of the vector unit, and the register in which programs once recorded which vectors
//! they use.

use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "VSCR and VRSAVE, by thread", needs: &[], active: false, statik: true, run };

/// Bits of VSCR: denormals are zero, and saturation, which is sticky.
const VSCR: [u32; 4] = [0, 0x0001_0000, 0x0000_0001, 0x0001_0001];
const VRSAVE: [u64; 2] = [0xffff_ffff, 0x8421_0bad];

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, (VSCR.len() + VRSAVE.len()) as u64, |blocked| {
        let number = blocked.number as usize;
        if let Some(value) = VSCR.get(number) {
            let mut input = Aligned([0; 16]);
            input.0[..4].copy_from_slice(&value.to_ne_bytes());
            return expect_bytes("VSCR", &blocked.through(over_read::vscr, &input)?.0, &input.0);
        }
        let value = VRSAVE[number - VSCR.len()];
        // The kernel keeps it with the vectors of a thread that has used them.
        over_vectors();
        let output = blocked.through(over_read::vrsave, &Aligned(value.to_ne_bytes()))?;
        expect_eq("VRSAVE", u64::from_ne_bytes(output.0), value)
    })
}

/// One instruction of the vector unit.
fn over_vectors() {
    // SAFETY: changes one register, which is declared.
    unsafe { std::arch::asm!("vxor 0, 0, 0", out("v0") _, options(nomem, nostack)) };
}
