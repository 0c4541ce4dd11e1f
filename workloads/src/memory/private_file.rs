//! Written pages are the process's own; the others still show the file, including later writes to
//! it.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a private file mapping with some pages copied on write",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let path = cx.dir.join("file");
    std::fs::write(&path, pattern::bytes(16 * page_size(), cx.seed)).context("write file")?;
    let file = std::fs::File::options().read(true).write(true).open(&path).context("open file")?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // From page 2 of the file on: an offset that is not zero.
    let source = Some((file.as_fd(), 2 * page_size() as i64));
    let mut memory = Mapping::new(12 * page_size(), prot, libc::MAP_PRIVATE, source)?;
    for index in [0, 3, 11] {
        pattern::fill(memory.page_mut(index), index as u64);
    }
    let vma = procfs::vma_at(memory.start())?;

    cx.ready()?;

    let now = procfs::vma_at(memory.start())?;
    expect_eq("range", (now.start, now.end, now.offset), (vma.start, vma.end, vma.offset))?;
    expect_eq("protection, name, inode", (now.perms, now.name, now.inode), (vma.perms, vma.name, vma.inode))?;
    let want = pattern::bytes(16 * page_size(), cx.seed);
    for index in 0..12 {
        match index {
            0 | 3 | 11 => pattern::verify(&format!("copied page {index}"), memory.page(index), index as u64)?,
            _ => {
                let want = &want[(index + 2) * page_size()..(index + 3) * page_size()];
                expect_bytes(&format!("file page {index}"), memory.page(index), want)?;
            }
        }
    }
    // Unmodified pages follow the file; a write to the file under a copied page is not seen.
    file.write_all_at(b"changed", 7 * page_size() as u64).context("write")?;
    expect_bytes("page that follows the file", &memory.page(5)[..7], b"changed")?;
    file.write_all_at(b"changed", 5 * page_size() as u64).context("write")?;
    pattern::verify("copied page after a write to the file", memory.page(3), 3)?;
    std::fs::remove_file(path).context("remove file")
}
