//! A named file on a mounted hugetlbfs: the shared mapping is the file, the private one has a page
//! of its own.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "shared and private mappings of a file on hugetlbfs",
    needs: &[Need::Hugepages],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let huge = super::helpers::huge_page()?;
    let Some(mount) = super::helpers::hugetlbfs()? else {
        return skip("no hugetlbfs is mounted");
    };
    let path = mount.join(format!("cairn-workload-{}", sys::getpid()));
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .context("create file")?;
    let _remove = super::helpers::Remove(path);
    file.set_len(2 * huge as u64).context("grow the file")?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let mut shared = Mapping::new(2 * huge, prot, libc::MAP_SHARED, Some((file.as_fd(), 0)))?;
    super::helpers::mark(&mut shared.bytes_mut()[..huge], cx.seed);
    super::helpers::mark(&mut shared.bytes_mut()[huge..], cx.seed + 1);
    let mut private = Mapping::new(huge, prot, libc::MAP_PRIVATE, Some((file.as_fd(), 0)))?;
    super::helpers::mark(private.bytes_mut(), cx.seed + 2);

    cx.ready()?;

    super::helpers::verify_marks("copied page", private.bytes(), cx.seed + 2)?;
    super::helpers::verify_marks("first page of the file", &shared.bytes()[..huge], cx.seed)?;
    super::helpers::verify_marks("second page of the file", &shared.bytes()[huge..], cx.seed + 1)?;
    expect(procfs::vma_at(private.start())?.has("ht"), || "the private range is not of huge pages".into())
}
