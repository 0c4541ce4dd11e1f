//! Files opened through symbolic links that now point elsewhere or nowhere.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "files opened through symbolic links that have changed since",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    use std::os::unix::fs::symlink;
    std::fs::create_dir("real").context("mkdir")?;
    for (index, name) in ["real/one", "real/two", "other"].into_iter().enumerate() {
        helpers::make(name, 500, cx.seed + index as u64)?;
    }
    symlink("real", "directory").context("symlink")?;
    symlink("directory/one", "moved").context("symlink")?;
    let through_directory = fd::open("directory/two", libc::O_RDWR, 0)?;
    let through_link = fd::open("moved", libc::O_RDWR, 0)?;
    for link in ["directory", "moved"] {
        helpers::remove(link)?;
        symlink("other", link).context("symlink")?;
    }

    cx.ready()?;

    helpers::verify("opened through a linked directory", &through_directory, 500, cx.seed + 1)?;
    helpers::verify("opened through a link", &through_link, 500, cx.seed)?;
    let direct = fd::open("real/one", libc::O_RDONLY, 0)?;
    expect_eq("inode", helpers::inode(&through_link)?, helpers::inode(&direct)?)
}
