//! An unlinked file of one gigabyte, nearly all of it a hole.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an unlinked sparse file: contents, holes and how little room it takes",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const SIZE: i64 = (1 << 30) + 777;
const ISLANDS: [i64; 4] = [0, 123 << 12, 99_999 << 12, (1 << 30) - 4096];

fn run(cx: &mut Ctx) -> Outcome {
    let file = helpers::make_unlinked("gone", 0, 0)?;
    nix::unistd::ftruncate(&file, SIZE).context("ftruncate")?;
    for (index, at) in ISLANDS.into_iter().enumerate() {
        fd::seek(&file, at, libc::SEEK_SET)?;
        fd::write_all(&file, &pattern::bytes(4096, cx.seed + index as u64))?;
    }
    fd::seek(&file, 17, libc::SEEK_SET)?;
    let blocks = fd::stat(&file)?.st_blocks;

    cx.ready()?;

    let stat = fd::stat(&file)?;
    expect_eq("size", stat.st_size, SIZE)?;
    expect(stat.st_blocks <= blocks + 64, || format!("{} blocks, had {blocks}", stat.st_blocks))?;
    expect_eq("offset", fd::offset(&file)?, 17)?;
    for (index, at) in ISLANDS.into_iter().enumerate() {
        pattern::verify(
            &format!("island at {at:#x}"),
            &fd::read_at(&file, 4096, at)?,
            cx.seed + index as u64,
        )?;
    }
    for at in [4096, (123 << 12) + 4096, 500 << 20] {
        pattern::verify_zero(&format!("hole at {at:#x}"), &fd::read_at(&file, 4096, at)?)?;
    }
    pattern::verify_zero("tail", &fd::read_at(&file, 777, 1 << 30)?)
}
