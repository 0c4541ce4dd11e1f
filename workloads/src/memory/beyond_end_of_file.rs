//! Pages beyond the last one of the file raise SIGBUS, the rest of the last page reads as zeros.
//! When the file grows, the pages become usable.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload =
    Workload { purpose: "a mapping longer than its file", needs: &[], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    let path = cx.dir.join("file");
    std::fs::write(&path, pattern::bytes(page_size() + 1000, cx.seed)).context("write file")?;
    let file = std::fs::File::options().read(true).write(true).open(&path).context("open file")?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let shared = Mapping::new(4 * page_size(), prot, libc::MAP_SHARED, Some((file.as_fd(), 0)))?;
    let mut private = Mapping::new(4 * page_size(), prot, libc::MAP_PRIVATE, Some((file.as_fd(), 0)))?;
    pattern::fill(private.page_mut(0), 7);

    cx.ready()?;

    pattern::verify("shared mapping", &shared.bytes()[..page_size() + 1000], cx.seed)?;
    pattern::verify_zero("rest of the last page", &shared.bytes()[page_size() + 1000..2 * page_size()])?;
    pattern::verify("copied page of the private mapping", private.page(0), 7)?;
    for mapping in [&shared, &private] {
        super::helpers::dies_reading(mapping.start() + 2 * page_size(), libc::SIGBUS)?;
        super::helpers::dies_reading(mapping.start() + 3 * page_size(), libc::SIGBUS)?;
    }
    file.set_len(4 * page_size() as u64).context("grow the file")?;
    pattern::verify_zero("shared page in the grown file", shared.page(2))?;
    pattern::verify_zero("private page in the grown file", private.page(3))?;
    std::fs::remove_file(path).context("remove file")
}
