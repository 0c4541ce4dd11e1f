//! A memfd that two processes map, and no process has open.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::{AsFd as _, AsRawFd as _};

pub const WORKLOAD: Workload = Workload {
    purpose: "memory of a memfd without a descriptor stays shared, and what is private stays private",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (access, len) = (libc::PROT_READ | libc::PROT_WRITE, 4 * page_size());
    let file = helpers::memfd(c"shared", 0)?;
    fd::write_all(&file, &pattern::bytes(len, cx.seed))?;
    let mut mapped = Mapping::new(len, access, libc::MAP_SHARED, Some((file.as_fd(), 0)))?;
    let mut private = Mapping::new(len, access, libc::MAP_PRIVATE, Some((file.as_fd(), 0)))?;
    private.page_mut(1).fill(7);
    let child = stage.fork("the child", |stage| {
        let mut own =
            Mapping::new(page_size(), access, libc::MAP_SHARED, Some((file.as_fd(), page_size() as i64)))?;
        // SAFETY: the copy of the parent's descriptor belongs to this process and is not used
        // again.
        unsafe { libc::close(file.as_raw_fd()) };
        stage.hold();
        expect_eq("written by the root", own.bytes()[100], 0xaa)?;
        own.bytes_mut()[200] = 0xbb;
        Ok(())
    })?;
    drop(file);
    stage.wait_held(&child)?;

    cx.ready()?;

    pattern::verify("mapping", mapped.bytes(), cx.seed)?;
    expect(private.page(1).iter().all(|byte| *byte == 7), || "the private page changed".into())?;
    expect_bytes("private, not written", private.page(2), mapped.page(2))?;
    expect_eq("name", procfs::vma_at(mapped.start())?.name, "/memfd:shared (deleted)")?;
    mapped.page_mut(1)[100] = 0xaa;
    mapped.page_mut(2)[300] ^= 0xff;
    expect_eq("a page that is still shared", private.page(2)[300], mapped.page(2)[300])?;
    stage.release();
    child.join()?;
    expect_eq("written by the child", mapped.page(1)[200], 0xbb)
}
