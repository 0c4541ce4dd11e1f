//! bash starts a pipeline and a subshell for each line that it reads.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a shell that starts a pipeline for every line",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "bash", &["-c", TEXT])
}

const TEXT: &str = r#"
s=0
while read -r n; do
    s=$((s + n))
    printf '%s\n' "$s" | tr 0-9 a-j | (tr a-j 0-9; :) | cat
done
"#;
