//! A mapping and a descriptor by a name that was removed, and a descriptor by the one that remains.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a file mapped by a name that is gone and open by the one that remains is one file",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let length = 2 * page_size();
    let file = helpers::make("first name", length, cx.seed)?;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let mut shared = Mapping::new(length, access, libc::MAP_SHARED, Some((file.as_fd(), 0)))?;
    let mut private = Mapping::new(length, access, libc::MAP_PRIVATE, Some((file.as_fd(), 0)))?;
    private.page_mut(1)[5] = 0x55;
    std::fs::hard_link("first name", "second name").context("link")?;
    let other = fd::open("second name", libc::O_RDWR, 0)?;
    helpers::remove("first name")?;

    cx.ready()?;

    helpers::expect_no_name("first name")?;
    expect_eq("inode by both names", helpers::inode(&file)?, helpers::inode(&other)?)?;
    pattern::verify("shared mapping", shared.bytes(), cx.seed)?;
    expect_eq("private page", private.page(1)[5], 0x55)?;
    pattern::verify("private page of the file", private.page(0), cx.seed)?;
    shared.page_mut(0)[0] = !shared.page(0)[0];
    let written = shared.page(0)[0];
    expect_bytes("written through the mapping", &fd::read_at(&other, 1, 0)?, &[written])?;
    fd::write_all(&other, &[written.wrapping_add(1)])?;
    expect_eq("seen in the mapping", shared.page(0)[0], written.wrapping_add(1))
}
