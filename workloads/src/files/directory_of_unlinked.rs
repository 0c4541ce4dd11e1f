//! A file and its whole directory have been removed; the file is open.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an unlinked file whose directory is gone too",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::create_dir_all("outer/inner").context("mkdir")?;
    let file = helpers::make("outer/inner/file", 7000, cx.seed)?;
    fd::seek(&file, 70, libc::SEEK_SET)?;
    std::fs::remove_dir_all("outer").context("remove the directories")?;

    cx.ready()?;

    helpers::expect_no_name("outer")?;
    expect_eq("offset", fd::offset(&file)?, 70)?;
    expect_eq("links", fd::stat(&file)?.st_nlink, 0)?;
    helpers::verify("unlinked file", &file, 7000, cx.seed)
}
