//! The register for one more branch target, and the one that controls prefetching.

use super::{Feature, over_read};
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "TAR and DSCR, by thread", needs: &[], active: false, statik: true, run };

fn run(cx: &mut Ctx) -> Outcome {
    if !Feature::Tar.here() || !Feature::Dscr.here() {
        return skip("the processor has no TAR or no DSCR");
    }
    blocked_threads(cx, 6, |blocked| {
        let (name, function, want) = match blocked.number {
            0..3 => {
                ("TAR", over_read::tar as crate::fp::helpers::OverRead, Rng::new(blocked.key).word() & !3)
            }
            number => ("DSCR", over_read::dscr as _, [0, 0x15, 0x1ff][number as usize - 3]),
        };
        let output = blocked.through(function, &Aligned(want.to_ne_bytes()))?;
        expect_eq(name, u64::from_ne_bytes(output.0), want)
    })
}
