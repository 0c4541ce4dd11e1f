//! An unlinked file without contents, and one that was emptied after it was unlinked.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "empty unlinked files", needs: &[], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    let never = helpers::make_unlinked("never filled", 0, 0)?;
    let emptied = helpers::make_unlinked("emptied", 9000, cx.seed)?;
    fd::seek(&emptied, 9000, libc::SEEK_SET)?;
    nix::unistd::ftruncate(&emptied, 0).context("ftruncate")?;

    cx.ready()?;

    expect_eq("size", (fd::stat(&never)?.st_size, fd::stat(&emptied)?.st_size), (0, 0))?;
    expect_eq("offset of the emptied one", fd::offset(&emptied)?, 9000)?;
    fd::write_all(&never, b"now filled")?;
    expect_bytes("what was written", &fd::read_at(&never, 10, 0)?, b"now filled")
}
