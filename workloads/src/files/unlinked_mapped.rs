//! Two processes map an unlinked file, shared, and one has a descriptor of it, too.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::{AsFd as _, AsRawFd as _};

pub const WORKLOAD: Workload = Workload {
    purpose: "an unlinked file mapped shared by two processes stays one file",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let file = helpers::make_unlinked("gone", 3 * page_size(), cx.seed)?;
    let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let mut mapped = Mapping::new(3 * page_size(), access, shared, Some((file.as_fd(), 0)))?;
    let child = stage.fork("the child", |stage| {
        let mut own = Mapping::new(page_size(), access, shared, Some((file.as_fd(), page_size() as i64)))?;
        // SAFETY: the copy of the parent's descriptor belongs to this process and is not used
        // again.
        unsafe { libc::close(file.as_raw_fd()) };
        stage.hold();
        expect_eq("written by the root", own.bytes()[100], 0xaa)?;
        own.bytes_mut()[200] = 0xbb;
        Ok(())
    })?;
    let kept = fd::dup(&file)?;
    drop(file);

    cx.ready()?;

    helpers::expect_no_name("gone")?;
    pattern::verify("mapping", mapped.bytes(), cx.seed)?;
    helpers::verify("descriptor", &kept, 3 * page_size(), cx.seed)?;
    mapped.page_mut(1)[100] = 0xaa;
    stage.release();
    child.join()?;
    expect_eq("written by the child, mapped", mapped.page(1)[200], 0xbb)?;
    expect_bytes("written by the child, read", &fd::read_at(&kept, 1, page_size() as i64 + 200)?, &[0xbb])
}
