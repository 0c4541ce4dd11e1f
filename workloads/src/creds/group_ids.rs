//! Real, effective, saved and file-system group ids, all different.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the four group ids of a process",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = helpers::changed_child(
        &stage,
        "the process with group ids",
        || {
            helpers::set_gids(2001, 2002, 2003)?;
            // SAFETY: setfsgid takes a number; it has no error, the check below finds it.
            unsafe { libc::setfsgid(2004) };
            expect_eq("ids", helpers::numbers("Gid")?, vec![2001, 2002, 2003, 2004])
        },
        || {
            let file = fd::open("file", libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600)?;
            expect_eq("group of a new file", fd::stat(&file)?.st_gid, 2004)
        },
    )?;

    cx.ready()?;

    stage.release();
    child.join()
}
