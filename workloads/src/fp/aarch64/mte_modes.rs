//! Per-thread modes of tagged addresses and tag checks: whether system calls accept them, how a
//! wrong tag is reported, and which tags are generated.

use super::{Feature, over_read, prctl};
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "modes of memory tag checks and the tags to choose from, by thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// linux/prctl.h.
pub const PR_SET_TAGGED_ADDR_CTRL: i32 = 55;
pub const PR_GET_TAGGED_ADDR_CTRL: i32 = 56;
/// System calls accept tagged addresses.
pub const ENABLE: u64 = 1;
/// A wrong tag is SIGSEGV at once, or later.
pub const SYNC: u64 = 1 << 1;
pub const ASYNC: u64 = 1 << 2;

/// The tags that may be generated, as a set.
pub const fn tags(set: u64) -> u64 {
    set << 3
}

const MODES: [u64; 6] = [
    0,
    ENABLE,
    ENABLE | SYNC | tags(0xfffe),
    ENABLE | ASYNC | tags(0x0110),
    SYNC | tags(0x8000),
    ENABLE | tags(0xffff),
];

fn run(cx: &mut Ctx) -> Outcome {
    if !Feature::Mte.here() {
        return skip("the machine has no memory tags");
    }
    blocked_threads(cx, MODES.len() as u64, |blocked| {
        let mode = MODES[blocked.number as usize];
        prctl(PR_SET_TAGGED_ADDR_CTRL, mode, 0)?;
        let want = prctl(PR_GET_TAGGED_ADDR_CTRL, 0, 0)?;
        expect_eq("set of tags, before", want & tags(0xffff), mode & tags(0xffff))?;
        blocked.through(over_read::signed_returns, &Aligned([0; 8]))?;
        expect_eq("mode", prctl(PR_GET_TAGGED_ADDR_CTRL, 0, 0)?, want)?;
        let set = (mode >> 3) & 0xffff;
        for _ in 0..64 {
            let tag = random_tag();
            // Without any allowed tag, zero is generated.
            expect(if set == 0 { tag == 0 } else { set >> tag & 1 == 1 }, || {
                format!("tag {tag} was generated, of the set {set:#x}")
            })?;
        }
        Ok(())
    })
}

/// A tag that the processor generates.
fn random_tag() -> u64 {
    let mut address = 0u64;
    // SAFETY: changes a register. The processor has memory tags, as was checked.
    unsafe {
        std::arch::asm!(
            ".arch_extension memtag", "irg {0}, {0}",
            inout(reg) address, options(nomem, nostack, preserves_flags)
        );
    }
    address >> 56 & 15
}
