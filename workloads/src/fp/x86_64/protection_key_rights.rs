//! PKRU, a register of the extended state that ptrace shows only in the XSAVE area.

use super::has_protection_keys;
use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the rights register of the protection keys, by thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Rights for the keys from 1 up; key 0, which all memory has, stays usable.
const RIGHTS: [u32; 3] = [0x5555_5554, 0xc000_0e40, 0x0000_0000];

fn run(cx: &mut Ctx) -> Outcome {
    if !has_protection_keys() {
        return skip("the processor or the kernel has no protection keys");
    }
    blocked_threads(cx, RIGHTS.len() as u64, |blocked| {
        let want = RIGHTS[blocked.number as usize];
        let output = blocked.through(over_read::pkru, &Aligned(want.to_ne_bytes()))?;
        expect_eq("PKRU", u32::from_ne_bytes(output.0), want)
    })
}
