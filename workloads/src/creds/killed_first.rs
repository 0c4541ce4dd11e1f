//! Processes that the OOM killer should prefer, or spare.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "oom_score_adj of each process", needs: &[], active: false, statik: false, run };

const PATH: &str = "/proc/self/oom_score_adj";

fn get() -> anyhow::Result<i32> {
    Ok(std::fs::read_to_string(PATH).context(PATH)?.trim().parse()?)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let start = get()?;
    let mut children = Vec::new();
    for add in [0, 1, 250, 999] {
        let value = (start + add).min(1000);
        children.push(stage.fork("a process with a score", |stage| {
            std::fs::write(PATH, value.to_string()).context(PATH)?;
            stage.hold();
            expect_eq("oom_score_adj", get()?, value)
        })?);
    }

    cx.ready()?;

    expect_eq("oom_score_adj of the root", get()?, start)?;
    stage.release();
    children.into_iter().try_for_each(Child::join)
}
