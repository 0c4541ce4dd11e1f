//! A file was truncated below the offset of its descriptor; another was extended by truncation.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "offsets past the end of files that were truncated",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let cut = helpers::make("cut", 10_000, cx.seed)?;
    fd::seek(&cut, 9000, libc::SEEK_SET)?;
    nix::unistd::ftruncate(&cut, 100).context("ftruncate")?;
    let grown = helpers::make("grown", 100, cx.seed)?;
    nix::unistd::ftruncate(&grown, 10_000).context("ftruncate")?;
    let facts = (helpers::facts(&cut, true)?, helpers::facts(&grown, true)?);

    cx.ready()?;

    expect_eq("attributes", (helpers::facts(&cut, true)?, helpers::facts(&grown, true)?), facts)?;
    expect_bytes("read past the end", &fd::read_some(&cut, 10)?, b"")?;
    fd::write_all(&cut, b"far out")?;
    let all = fd::read_at(&cut, 9007, 0)?;
    pattern::verify("what was left", &all[..96], cx.seed)?;
    pattern::verify_zero("the gap", &all[100..9000])?;
    pattern::verify_zero("the growth", &fd::read_at(&grown, 9900, 100)?)
}
