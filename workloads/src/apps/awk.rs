//! gawk adds with a coprocess's help.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "gawk with a coprocess",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "gawk", &[TEXT])
}

const TEXT: &str = r#"
BEGIN { helper = "cat" }
{ sum += $1; print sum |& helper; helper |& getline answer; print answer; fflush() }
"#;
