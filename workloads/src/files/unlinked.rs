//! An unlinked file, with an offset in the middle.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "contents, mode and offset of an unlinked file",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let file = helpers::make_unlinked("gone", 12_345, cx.seed)?;
    nix::sys::stat::fchmod(&file, nix::sys::stat::Mode::from_bits_truncate(0o2451)).context("fchmod")?;
    fd::seek(&file, 5000, libc::SEEK_SET)?;
    let (facts, flags) = (helpers::facts(&file, false)?, fd::flags(&file)?);

    cx.ready()?;

    helpers::expect_no_name("gone")?;
    expect_eq("size, mode, owner, group, links", helpers::facts(&file, false)?, facts)?;
    expect_eq("flags", fd::flags(&file)?, flags)?;
    expect_eq("offset", fd::offset(&file)?, 5000)?;
    helpers::verify("unlinked file", &file, 12_345, cx.seed)?;
    fd::write_all(&file, b"changed")?;
    expect_bytes("what was written", &fd::read_at(&file, 7, 5000)?, b"changed")
}
