//! gawk adds with a coprocess's help.

use super::helpers::{command, converse, sum};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "gawk with a coprocess",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut program = command("gawk")?;
    program.args([TEXT]);
    converse(cx, program, sum)
}

const TEXT: &str = r#"
BEGIN { helper = "cat" }
{ sum += $1; print sum |& helper; helper |& getline answer; print answer; fflush() }
"#;
