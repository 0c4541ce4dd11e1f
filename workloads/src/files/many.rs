//! Five hundred open descriptions over twenty files, each at its own offset.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "five hundred open files", needs: &[], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    let mut held = Vec::new();
    for index in 0..20u64 {
        helpers::make(&format!("file{index}"), 2000, cx.seed + index)?;
    }
    for index in 0..500usize {
        let file = fd::open(format!("file{}", index % 20), libc::O_RDONLY, 0)?;
        fd::seek(&file, index as i64 * 3, libc::SEEK_SET)?;
        held.push(file);
    }

    cx.ready()?;

    let contents: Vec<Vec<u8>> = (0..20).map(|index| pattern::bytes(2000, cx.seed + index)).collect();
    for (index, file) in held.iter().enumerate() {
        let want = &contents[index % 20][index * 3..][..8];
        expect_bytes(&format!("at the offset of descriptor {index}"), &fd::read_all(file, 8)?, want)?;
    }
    Ok(())
}
