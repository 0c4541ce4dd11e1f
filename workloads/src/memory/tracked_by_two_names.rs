//! The same file mapped through a hard link, with a private copy of one page in each mapping.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "one file under two mappings and two names",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (first, second) = (cx.dir.join("first"), cx.dir.join("second"));
    std::fs::write(&first, pattern::bytes(4 * page_size(), cx.seed)).context("write file")?;
    std::fs::hard_link(&first, &second).context("link")?;
    let mut mappings = Vec::new();
    for path in [&first, &second] {
        let file = std::fs::File::open(path).context("open file")?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        mappings.push(Mapping::new(4 * page_size(), prot, libc::MAP_PRIVATE, Some((file.as_fd(), 0)))?);
    }
    pattern::fill(mappings[0].page_mut(1), 1);
    pattern::fill(mappings[1].page_mut(2), 2);
    let before = super::helpers::shape(&mappings)?;

    cx.ready()?;

    expect_eq("names, offsets and inodes", super::helpers::shape(&mappings)?, before)?;
    pattern::verify("copied page of the first", mappings[0].page(1), 1)?;
    pattern::verify("copied page of the second", mappings[1].page(2), 2)?;
    let want = pattern::bytes(4 * page_size(), cx.seed);
    expect_bytes("file page of the first", mappings[0].page(2), &want[2 * page_size()..3 * page_size()])?;
    expect_bytes("file page of the second", mappings[1].page(1), &want[page_size()..2 * page_size()])?;
    std::fs::remove_file(first).and_then(|()| std::fs::remove_file(second)).context("remove the file")
}
