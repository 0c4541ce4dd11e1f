//! MAP_SHARED on a file that is open for reading only: the kernel forbids making it writable later,
//! and must still do so.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a shared mapping through a descriptor that cannot write",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let path = cx.dir.join("file");
    std::fs::write(&path, pattern::bytes(2 * page_size(), cx.seed)).context("write file")?;
    let file = std::fs::File::open(&path).context("open file")?;
    let memory = Mapping::new(2 * page_size(), libc::PROT_READ, libc::MAP_SHARED, Some((file.as_fd(), 0)))?;
    drop(file);

    cx.ready()?;

    pattern::verify("contents", memory.bytes(), cx.seed)?;
    let error = memory.protect(0, 1, libc::PROT_READ | libc::PROT_WRITE).err();
    expect_eq("mprotect to writable", error.as_ref().and_then(sys::errno_in), Some(libc::EACCES))?;
    std::fs::remove_file(path).context("remove file")
}
