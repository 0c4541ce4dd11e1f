//! Descriptors with high numbers and wide gaps between them.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "descriptor numbers up to 1000, and the gaps between",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const NUMBERS: [i32; 8] = [10, 11, 63, 64, 255, 256, 999, 1000];

fn run(cx: &mut Ctx) -> Outcome {
    for inherited in 3..1100 {
        // SAFETY: whatever the parent left open is not used here.
        unsafe { libc::close(inherited) };
    }
    let mut held = Vec::new();
    for (index, number) in NUMBERS.into_iter().enumerate() {
        let file = helpers::make(&format!("file {number}"), 10 + index, cx.seed + index as u64)?;
        held.push(fd::dup_to(&file, number, 0).context("the limit of open files may be too low")?);
    }
    let open: Vec<i32> = (0..1100).filter(|n| fd::is_open(*n)).collect();

    cx.ready()?;

    let now: Vec<i32> = (0..1100).filter(|n| fd::is_open(*n)).collect();
    expect_eq("open descriptors", now, open.clone())?;
    for (index, file) in held.iter().enumerate() {
        helpers::verify(&format!("file {}", NUMBERS[index]), file, 10 + index, cx.seed + index as u64)?;
    }
    let lowest = (0..).find(|n| !open.contains(n)).context("a free number")?;
    expect_eq("the next descriptor", fd::dup(&held[0])?.as_raw_fd(), lowest)
}
