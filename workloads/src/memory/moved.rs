//! mremap(2): anonymous memory that moved keeps its old page offset inside, a shared file mapping
//! that moved keeps its file.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "mappings moved and resized by mremap",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut anonymous = Mapping::private(4 * page_size())?;
    pattern::fill(anonymous.bytes_mut(), cx.seed);
    let mut anonymous = super::helpers::remap(anonymous, 9 * page_size())?;
    pattern::fill(anonymous.page_mut(8), 8);
    let path = cx.dir.join("file");
    std::fs::write(&path, pattern::bytes(8 * page_size(), cx.seed)).context("write file")?;
    let file = std::fs::File::options().read(true).write(true).open(&path).context("open file")?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let shared =
        Mapping::new(4 * page_size(), prot, libc::MAP_SHARED, Some((file.as_fd(), 2 * page_size() as i64)))?;
    drop(file);
    let mut shared = super::helpers::remap(shared, 6 * page_size())?;

    cx.ready()?;

    pattern::verify("start of the moved memory", &anonymous.bytes()[..4 * page_size()], cx.seed)?;
    pattern::verify_zero("middle of it", &anonymous.bytes()[4 * page_size()..8 * page_size()])?;
    pattern::verify("end of it", anonymous.page(8), 8)?;
    let want = pattern::bytes(8 * page_size(), cx.seed);
    expect_bytes("moved file mapping", shared.bytes(), &want[2 * page_size()..])?;
    shared.bytes_mut()[0] = !want[2 * page_size()];
    let file = std::fs::read(&path).context("read file")?;
    expect_eq("byte of the file written through the mapping", file[2 * page_size()], !want[2 * page_size()])?;
    let anonymous = super::helpers::remap(anonymous, 20 * page_size())?;
    pattern::verify("memory moved once more", &anonymous.bytes()[..4 * page_size()], cx.seed)?;
    std::fs::remove_file(path).context("remove file")
}
