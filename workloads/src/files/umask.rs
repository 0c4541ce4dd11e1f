//! Processes with different umasks.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "the umask of each process", needs: &[], active: false, statik: true, run };

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let set = |mask: u32| {
        // SAFETY: umask has no preconditions.
        unsafe { libc::umask(mask) }
    };
    let mut children = Vec::new();
    for mask in [0, 0o777, 0o027, 0o351] {
        children.push(stage.fork("a process with its own mask", |stage| {
            set(mask);
            stage.hold();
            let file = fd::open(format!("file {mask:o}"), helpers::MAKE, 0o777)?;
            expect_eq("mode of a new file", fd::stat(&file)?.st_mode & 0o777, 0o777 & !mask)?;
            expect_eq("umask", set(0), mask)
        })?);
    }
    set(0o123);

    cx.ready()?;

    expect_eq("umask of the root", set(0o22), 0o123u32)?;
    stage.release();
    children.into_iter().try_for_each(Child::join)
}
