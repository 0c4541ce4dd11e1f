//! A process that the OOM killer must spare.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "a negative oom_score_adj", needs: &[Need::Root], active: false, statik: false, run };

const PATH: &str = "/proc/self/oom_score_adj";

fn run(cx: &mut Ctx) -> Outcome {
    match std::fs::write(PATH, "-500") {
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => {
            return skip("may not lower its own oom_score_adj");
        }
        other => other.context(PATH)?,
    }

    cx.ready()?;

    expect_eq("oom_score_adj", std::fs::read_to_string(PATH).context(PATH)?.trim(), "-500")?;
    std::fs::write(PATH, "-300").context("change it")
}
