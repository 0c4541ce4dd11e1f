//! Processes with locked securebits.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "securebits, locked and not, and the keep-capabilities flag",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    // Of <linux/securebits.h>: noroot 1, no-setuid-fixup 4, keep-caps 16, no-ambient-raise 64; each
    // bit's lock is the next higher one.
    let cases: [(&'static str, u64); 4] = [
        ("no root", 1),
        ("no root, locked; no fixup", 1 | 2 | 4),
        ("keep capabilities", 16),
        ("everything locked", 0xef),
    ];
    let mut children = Vec::new();
    for (name, bits) in cases {
        let change = || helpers::prctl(libc::PR_SET_SECUREBITS, bits).map(drop);
        let check = || {
            expect_eq("securebits", helpers::prctl(libc::PR_GET_SECUREBITS, 0)? as u64, bits)?;
            expect_eq(
                "keep capabilities",
                helpers::prctl(libc::PR_GET_KEEPCAPS, 0)?,
                i32::from(bits & 16 != 0),
            )?;
            let full = helpers::caps("CapPrm")?;
            helpers::set_uids(1000, 1000, 1000)?;
            // Without the fixup, or with keep-caps, an ordinary user keeps permitted capabilities.
            let stays = bits & (4 | 16) != 0;
            expect_eq(
                "permitted after the change of user",
                helpers::caps("CapPrm")?,
                if stays { full } else { 0 },
            )
        };
        children.push(helpers::changed_child(&stage, name, change, check)?);
    }

    cx.ready()?;

    stage.release();
    children.into_iter().try_for_each(Child::join)
}
