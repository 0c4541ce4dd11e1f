//! jq adds what it reads.

use super::helpers::{command, converse, sum};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "jq in the middle of a stream",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut program = command("jq")?;
    program.args(["-n", "--unbuffered", "foreach inputs as $n (0; . + $n)"]);
    converse(cx, program, sum)
}
