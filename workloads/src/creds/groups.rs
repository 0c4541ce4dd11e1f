//! Processes with none, one, some and two hundred supplementary groups.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the supplementary groups of each process",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let lists: [Vec<u32>; 4] =
        [vec![], vec![77], vec![5, 3, 4_000_000_000, 3, 0], (0..200).map(|n| n * 21 + 9).collect()];
    let mut children = Vec::new();
    for list in lists {
        let change = || helpers::set_groups(&list);
        let check = || {
            let mut want = list.clone();
            want.sort_unstable();
            expect_eq("groups", helpers::numbers("Groups")?, want)
        };
        children.push(helpers::changed_child(&stage, "a process with groups", change, check)?);
    }

    cx.ready()?;

    stage.release();
    children.into_iter().try_for_each(Child::join)
}
