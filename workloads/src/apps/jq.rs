//! jq adds what it reads.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "jq in the middle of a stream",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "jq", &["-n", "--unbuffered", "foreach inputs as $n (0; . + $n)"])
}
