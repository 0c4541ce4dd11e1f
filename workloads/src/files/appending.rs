//! Files opened for appending: whatever the offset, writes go to the end.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "O_APPEND in force: writing goes to the end of the file",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    helpers::make("log", 100, cx.seed)?;
    let first = fd::open("log", libc::O_WRONLY | libc::O_APPEND, 0)?;
    let second = fd::open("log", libc::O_RDWR | libc::O_APPEND, 0)?;
    fd::seek(&second, 10, libc::SEEK_SET)?;

    cx.ready()?;

    expect_eq("offsets", (fd::offset(&first)?, fd::offset(&second)?), (0, 10))?;
    fd::write_all(&first, b"one")?;
    fd::write_all(&second, b"two")?;
    fd::write_all(&first, b"three")?;
    expect_eq("offsets afterwards", (fd::offset(&first)?, fd::offset(&second)?), (111, 106))?;
    let all = std::fs::read("log").context("read")?;
    expect_bytes("end of the file", &all[100..], b"onetwothree")?;
    pattern::verify("start of the file", &all[..100 / 8 * 8], cx.seed)
}
