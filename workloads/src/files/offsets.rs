//! Files at many offsets: the start, the middle, the end, past the end, past 4 GiB.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "the offset of each open file", needs: &[], active: false, statik: true, run };

const OFFSETS: [i64; 7] = [0, 1, 4095, 10_000, 10_001, 5 << 32, i64::MAX - 4096];

fn run(cx: &mut Ctx) -> Outcome {
    helpers::make("file", 10_000, cx.seed)?;
    let mut files = Vec::new();
    for offset in OFFSETS {
        let file = fd::open("file", libc::O_RDONLY, 0)?;
        match fd::seek(&file, offset, libc::SEEK_SET) {
            Ok(_) => files.push((file, offset)),
            // Not every file system has files that large.
            Err(e) if offset > 1 << 40 && sys::errno_in(&e) == Some(libc::EINVAL) => {}
            Err(e) => return Err(e),
        }
    }
    let (directory, moved) = (fd::open("file", libc::O_RDONLY, 0)?, 1234);
    fd::read_all(&directory, moved)?;

    cx.ready()?;

    for (file, offset) in &files {
        expect_eq("offset", fd::offset(file)?, *offset)?;
        if *offset < 10_000 {
            let rest = fd::read_to_end(file)?;
            expect_bytes("rest", &rest, &pattern::bytes(10_000, cx.seed)[*offset as usize..])?;
        }
    }
    expect_eq("offset after reading", fd::offset(&directory)?, moved as i64)
}
