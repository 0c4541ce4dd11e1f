//! The file was removed after it was mapped, shared and private, and its descriptor closed. Another
//! file has its path now: contents must come from the old one.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "mappings of a file without a name, and a new file under the old name",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let path = cx.dir.join("file");
    std::fs::write(&path, pattern::bytes(6 * page_size(), cx.seed)).context("write file")?;
    let file = std::fs::File::options().read(true).write(true).open(&path).context("open file")?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let mut shared =
        Mapping::new(4 * page_size(), prot, libc::MAP_SHARED, Some((file.as_fd(), page_size() as i64)))?;
    let mut private = Mapping::new(6 * page_size(), prot, libc::MAP_PRIVATE, Some((file.as_fd(), 0)))?;
    drop(file);
    std::fs::remove_file(&path).context("remove file")?;
    std::fs::write(&path, vec![0xbb; 6 * page_size()]).context("write the other file")?;
    pattern::fill(shared.page_mut(3), 3);
    pattern::fill(private.page_mut(5), 5);

    cx.ready()?;

    let want = pattern::bytes(6 * page_size(), cx.seed);
    expect_bytes("shared mapping", &shared.bytes()[..3 * page_size()], &want[page_size()..4 * page_size()])?;
    pattern::verify("written page of the shared mapping", shared.page(3), 3)?;
    expect_bytes("private mapping", &private.bytes()[..4 * page_size()], &want[..4 * page_size()])?;
    pattern::verify("file page written through the other mapping", private.page(4), 3)?;
    pattern::verify("copied page of the private mapping", private.page(5), 5)?;
    pattern::fill(shared.page_mut(0), 77);
    pattern::verify("file page written through the other mapping afterwards", private.page(1), 77)?;
    let name = procfs::vma_at(shared.start())?.name;
    expect(name.ends_with(" (deleted)"), || format!("the mapping is named {name}"))?;
    let other = std::fs::read(&path).context("read the other file")?;
    expect(other.iter().all(|b| *b == 0xbb), || "the other file was changed".into())?;
    std::fs::remove_file(&path).context("remove the other file")
}
