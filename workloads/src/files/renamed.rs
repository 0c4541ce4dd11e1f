//! Files were renamed after they were opened, one into another directory, one over another.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "open files that were renamed since", needs: &[], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::create_dir("elsewhere").context("mkdir")?;
    let moved = helpers::make("moved", 600, cx.seed)?;
    let replaced = helpers::make("target", 600, cx.seed + 1)?;
    let replacing = helpers::make("source", 600, cx.seed + 2)?;
    std::fs::rename("moved", "elsewhere/new name").context("rename")?;
    std::fs::rename("source", "target").context("rename")?;
    let directory = fd::open("elsewhere", libc::O_RDONLY, 0)?;
    std::fs::rename("elsewhere", "renamed directory").context("rename")?;

    cx.ready()?;

    helpers::verify("the moved one", &moved, 600, cx.seed)?;
    helpers::verify("the one renamed over", &replaced, 600, cx.seed + 1)?;
    helpers::verify("the one that replaced it", &replacing, 600, cx.seed + 2)?;
    let by_name = fd::open("renamed directory/new name", libc::O_RDONLY, 0)?;
    expect_eq("inode of the moved one", helpers::inode(&moved)?, helpers::inode(&by_name)?)?;
    expect_eq("links of the one renamed over", fd::stat(&replaced)?.st_nlink, 0)?;
    let found = helpers::read_directory(&directory, 4096)?;
    expect_eq("names in the renamed directory", found, Some(vec!["new name".to_owned()]))
}
