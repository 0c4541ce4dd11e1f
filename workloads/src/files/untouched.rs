//! A checkpoint must not change named files: neither contents nor times nor anything else.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "size, times, mode and inode of open files, opened with O_CREAT and O_TRUNC among others",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut files = Vec::new();
    for (index, flags) in
        [0, libc::O_TRUNC, libc::O_CREAT | libc::O_TRUNC, libc::O_APPEND].into_iter().enumerate()
    {
        let name = format!("file{index}");
        helpers::make(&name, 10, 0)?;
        let file = fd::open(&name, libc::O_RDWR | flags, 0o600)?;
        fd::write_all(&file, &pattern::bytes(1000, cx.seed))?;
        let old = libc::timespec { tv_sec: 1_000_000_000 + index as i64, tv_nsec: 123_456_789 };
        // SAFETY: two times that live through the call.
        sys::check("futimens", unsafe { libc::futimens(file.as_raw_fd(), [old, old].as_ptr()) })?;
        let facts = helpers::facts(&file, true)?;
        files.push((file, facts));
    }

    cx.ready()?;

    for (index, (file, facts)) in files.iter().enumerate() {
        let what = format!("file {index}: size, mode, owner, group, links, inode, times");
        expect_eq(&what, helpers::facts(file, true)?, facts.clone())?;
    }
    Ok(())
}
