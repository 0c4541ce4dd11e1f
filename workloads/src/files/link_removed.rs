//! A file was opened by one of its two names; that name is removed and the other remains.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a file whose opened name is gone while another link to it lives",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let file = helpers::make("first name", 1500, cx.seed)?;
    std::fs::hard_link("first name", "second name").context("link")?;
    helpers::remove("first name")?;
    let want = helpers::facts(&file, true)?;

    cx.ready()?;

    helpers::expect_no_name("first name")?;
    expect_eq("attributes", helpers::facts(&file, true)?, want)?;
    let other = fd::open("second name", libc::O_RDWR, 0)?;
    expect_eq("inode under both names", helpers::inode(&file)?, helpers::inode(&other)?)?;
    fd::write_all(&file, b"through the first")?;
    expect_bytes("read through the second", &fd::read_some(&other, 17)?, b"through the first")
}
