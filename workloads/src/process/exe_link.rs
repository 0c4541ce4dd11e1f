//! /proc/self/exe: the path it shows and the inode it leads to.

use crate::framework::prelude::*;
use std::os::unix::fs::MetadataExt as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "the link to the executable, and the file behind it",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let link = std::fs::read_link("/proc/self/exe").context("readlink exe")?;
    let file = std::fs::metadata("/proc/self/exe").context("stat exe")?;

    cx.ready()?;

    expect_eq("exe link", std::fs::read_link("/proc/self/exe").context("readlink exe")?, link)?;
    let now = std::fs::metadata("/proc/self/exe").context("stat exe")?;
    expect_eq("exe device and inode", (now.dev(), now.ino()), (file.dev(), file.ino()))
}
