//! An unlinked file of more than five MiB.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "contents of a large unlinked file", needs: &[], active: false, statik: false, run };

const LEN: usize = (5 << 20) + 123;

fn run(cx: &mut Ctx) -> Outcome {
    let file = helpers::make_unlinked("gone", LEN, cx.seed)?;

    cx.ready()?;

    helpers::expect_no_name("gone")?;
    helpers::verify("unlinked file", &file, LEN, cx.seed)
}
