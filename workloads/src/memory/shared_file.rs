//! MAP_SHARED on a file: the mapping and read(2)/write(2) see the same bytes before and after.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a shared file mapping: writes go both ways",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let path = cx.dir.join("file");
    std::fs::write(&path, pattern::bytes(8 * page_size(), cx.seed)).context("write file")?;
    let file = std::fs::File::options().read(true).write(true).open(&path).context("open file")?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let mut memory = Mapping::new(8 * page_size(), prot, libc::MAP_SHARED, Some((file.as_fd(), 0)))?;
    pattern::fill(memory.page_mut(4), 4);

    cx.ready()?;

    pattern::verify("page written before", memory.page(4), 4)?;
    pattern::verify("start of the file", &memory.bytes()[..4 * page_size()], cx.seed)?;
    pattern::fill(memory.page_mut(1), 1);
    let mut page = vec![0; page_size()];
    file.read_exact_at(&mut page, page_size() as u64).context("read")?;
    pattern::verify("file, after a write to the mapping", &page, 1)?;
    file.write_all_at(&pattern::bytes(page_size(), 2), 2 * page_size() as u64).context("write")?;
    pattern::verify("mapping, after a write to the file", memory.page(2), 2)?;
    std::fs::remove_file(path).context("remove file")
}
