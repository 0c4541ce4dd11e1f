//! As mail is delivered: written under a name in one directory, linked to one in the directory
//! beside it, and the first name removed while the writer still has the file open.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a file that link(2) and unlink(2) have moved to the directory beside, open to append",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    for directory in ["drafts", "delivered"] {
        std::fs::create_dir(directory).with_context(|| format!("make {directory}"))?;
    }
    let writer = helpers::make("drafts/1", 3000, cx.seed)?;
    let appender = fd::open("drafts/1", libc::O_WRONLY | libc::O_APPEND, 0)?;
    fd::seek(&writer, 1234, libc::SEEK_SET)?;
    std::fs::hard_link("drafts/1", "delivered/1").context("link")?;
    helpers::remove("drafts/1")?;
    // Another file has the old name.
    let other = helpers::make("drafts/1", 10, cx.seed + 1)?;
    let want = helpers::facts(&writer, true)?;

    cx.ready()?;

    expect_eq("attributes", helpers::facts(&writer, true)?, want)?;
    expect_eq("offset", fd::seek(&writer, 0, libc::SEEK_CUR)?, 1234)?;
    let delivered = fd::open("delivered/1", libc::O_RDONLY, 0)?;
    expect_eq("inode under the new name", helpers::inode(&writer)?, helpers::inode(&delivered)?)?;
    expect_eq("inode of the appender", helpers::inode(&appender)?, helpers::inode(&delivered)?)?;
    fd::write_all(&appender, b"the end")?;
    expect_bytes("appended", &fd::read_at(&delivered, 7, 3000)?, b"the end")?;
    helpers::verify("the file of the old name", &other, 10, cx.seed + 1)
}
