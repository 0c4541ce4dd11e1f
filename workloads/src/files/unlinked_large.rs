//! An unlinked file of more than five MiB.

use super::kit;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "contents of a large unlinked file", needs: &[], moving: false, statik: false, run };

const LEN: usize = (5 << 20) + 123;

fn run(cx: &mut Ctx) -> Outcome {
    let file = kit::make_unlinked("gone", LEN, cx.seed)?;

    cx.ready()?;

    kit::expect_no_name("gone")?;
    kit::verify("unlinked file", &file, LEN, cx.seed)
}
