//! Children in three process groups, one of them led by a sibling.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "process groups whose leaders live", needs: &[], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let hold = |stage: &Stage| {
        stage.hold();
        Ok(())
    };
    let children: Vec<Child> = (0..6).map(|_| stage.fork("a member", hold)).collect::<anyhow::Result<_>>()?;
    let pid = |index: usize| children[index].pid;
    // 0 leads 0, 2, 4; 1 leads 1, 5; 3 stays with the root.
    let groups = [pid(0), pid(1), pid(0), helpers::family(sys::getpid())?.1, pid(0), pid(1)];
    for (child, group) in children.iter().zip(groups) {
        helpers::set_group(child.pid, group)?;
    }

    cx.ready()?;

    for (index, (child, group)) in children.iter().zip(groups).enumerate() {
        expect_eq(&format!("group of child {index}"), helpers::family(child.pid)?.1, group)?;
    }
    // A signal to the group reaches its three members and no other process.
    signal::kill(-groups[0], libc::SIGKILL)?;
    stage.release();
    for (child, group) in children.into_iter().zip(groups) {
        if group == groups[0] { child.join_killed(libc::SIGKILL)? } else { child.join()? }
    }
    Ok(())
}
