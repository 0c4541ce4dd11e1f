//! File offsets are 64 bits wide.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a mapping of a sparse file beyond 4 GiB",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const OFFSET: u64 = 5 << 30;

fn run(cx: &mut Ctx) -> Outcome {
    let path = cx.dir.join("file");
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .context("create file")?;
    if let Err(error) = file.write_all_at(&pattern::bytes(2 * page_size(), cx.seed), OFFSET) {
        std::fs::remove_file(path).context("remove file")?;
        return skip(format!("the file system has no files of 5 GiB: {error}"));
    }
    let source = Some((file.as_fd(), OFFSET as i64));
    let mut memory =
        Mapping::new(2 * page_size(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE, source)?;
    pattern::fill(memory.page_mut(1), 1);

    cx.ready()?;

    expect_bytes("file page", memory.page(0), &pattern::bytes(2 * page_size(), cx.seed)[..page_size()])?;
    pattern::verify("copied page", memory.page(1), 1)?;
    expect_eq("offset", procfs::vma_at(memory.start())?.offset, OFFSET)?;
    std::fs::remove_file(path).context("remove file")
}
