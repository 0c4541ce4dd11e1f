//! Negative, zero, carry, overflow, and the bits of the processor state that programs set: data
//! independent timing, speculative store bypass, override of tag checks.

use super::{Feature, over_read};
use crate::fp::helpers::{Aligned, OverRead, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the condition flags and the bits of PSTATE over a blocked system call",
    needs: &[],
    active: false,
    statik: true,
    run,
};

type Flag = (&'static str, OverRead, u64, Option<Feature>);

/// Name, function, value, what the machine must have.
const FLAGS: [Flag; 10] = [
    ("NZCV", over_read::nzcv, 0, None),
    ("NZCV", over_read::nzcv, 0x9000_0000, None),
    ("NZCV", over_read::nzcv, 0x6000_0000, None),
    ("NZCV", over_read::nzcv, 0xf000_0000, None),
    ("DIT", over_read::dit, 1 << 24, Some(Feature::Dit)),
    ("DIT", over_read::dit, 0, Some(Feature::Dit)),
    ("SSBS", over_read::ssbs, 1 << 12, Some(Feature::Ssbs)),
    ("SSBS", over_read::ssbs, 0, Some(Feature::Ssbs)),
    ("TCO", over_read::tco, 1 << 25, Some(Feature::Mte)),
    ("TCO", over_read::tco, 0, Some(Feature::Mte)),
];

fn run(cx: &mut Ctx) -> Outcome {
    blocked_threads(cx, FLAGS.len() as u64, |blocked| {
        let (name, function, want, feature) = FLAGS[blocked.number as usize];
        // Where the machine lacks the bit, one more thread with condition flags.
        let function = if feature.is_none_or(Feature::here) { function } else { over_read::nzcv };
        let output = blocked.through(function, &Aligned(want.to_ne_bytes()))?;
        let want = if feature.is_none_or(Feature::here) { want } else { 0 };
        expect_eq(name, u64::from_ne_bytes(output.0), want)
    })
}
