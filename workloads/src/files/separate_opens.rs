//! The same file opened several times, in one process and in two: descriptions that share nothing.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "separate opens of one file stay separate",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let first = helpers::make("file", 5000, cx.seed)?;
    let second = fd::open("file", libc::O_RDWR, 0)?;
    let child = stage.fork("the child", |stage| {
        let own = fd::open("file", libc::O_RDWR, 0)?;
        fd::seek(&own, 50, libc::SEEK_SET)?;
        stage.hold();
        expect_eq("offset of its own", fd::offset(&own)?, 50)?;
        fd::seek(&own, 60, libc::SEEK_SET)?;
        expect(!fd::share_offset(&own, &second)?, || "its own and the inherited are one".into())
    })?;
    // The same offset, so that only moving one distinguishes them.
    fd::seek(&first, 50, libc::SEEK_SET)?;
    fd::seek(&second, 50, libc::SEEK_SET)?;

    cx.ready()?;

    expect_eq("offsets", (fd::offset(&first)?, fd::offset(&second)?), (50, 50))?;
    expect(!fd::share_offset(&first, &second)?, || "two opens have become one".into())?;
    fd::fcntl(&first, libc::F_SETFL, libc::O_APPEND)?;
    expect_eq("append flag of the second", fd::flags(&second)? & libc::O_APPEND, 0)?;
    stage.release();
    child.join()?;
    expect_eq("offset after the child", fd::offset(&first)?, 50)
}
