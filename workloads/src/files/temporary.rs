//! A file that never had a name: O_TMPFILE.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "contents and offset of a file made by O_TMPFILE",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let file = match fd::open(".", libc::O_TMPFILE | libc::O_RDWR, 0o640) {
        Err(e) if sys::errno_in(&e) == Some(libc::EOPNOTSUPP) => {
            return skip("the file system has no O_TMPFILE");
        }
        file => file?,
    };
    fd::write_all(&file, &pattern::bytes(8765, cx.seed))?;
    fd::seek(&file, 4321, libc::SEEK_SET)?;
    let facts = helpers::facts(&file, false)?;

    cx.ready()?;

    expect_eq("size, mode, owner, group, links", helpers::facts(&file, false)?, facts)?;
    expect_eq("offset", fd::offset(&file)?, 4321)?;
    helpers::verify("temporary file", &file, 8765, cx.seed)
}
