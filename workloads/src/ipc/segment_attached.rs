//! A segment with a key, attached twice: to be written, and only to be read. Its size is not a
//! multiple of the page size, and what lies between its end and the end of the page is kept, too.

use super::helpers::Segment;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "System V shared memory: contents, id, key, permissions, and its mappings",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let segment = Segment::with_key(4 * page_size() - 100, 0o640)?;
    let mut memory = segment.attach(0)?;
    for index in [0, 3] {
        pattern::fill(memory.page_mut(index), cx.seed + index as u64);
    }
    let view = segment.attach(libc::SHM_RDONLY)?;
    let name = |at: &Mapping| procfs::vma_at(at.start()).map(|vma| (vma.name, vma.perms));
    let before = (segment.told()?, name(&memory)?, name(&view)?);
    expect_eq("number of mappings", before.0.attached, 2)?;

    cx.ready()?;

    expect_eq("segment and mappings", &(segment.told()?, name(&memory)?, name(&view)?), &before)?;
    for index in [0, 3] {
        let what = format!("page {index}");
        pattern::verify(&what, view.page(index), cx.seed + index as u64)?;
    }
    pattern::verify_zero("pages that were never written", &view.bytes()[page_size()..3 * page_size()])?;
    pattern::fill(memory.page_mut(1), 1);
    pattern::verify("page written afterwards", view.page(1), 1)?;
    let denied = fd::errno("mprotect", view.protect(0, 1, libc::PROT_READ | libc::PROT_WRITE))?;
    expect_eq("errno of mprotect", denied, libc::EACCES)?;
    // SAFETY: numbers only.
    let found = sys::check("shmget", unsafe { libc::shmget(before.0.key, 0, 0) })?;
    expect_eq("id of the key", found, segment.id)?;
    // SAFETY: nothing borrows the mapping any more.
    sys::check("shmdt", unsafe { libc::shmdt(view.leak() as *const _) })?;
    expect_eq("number of mappings after shmdt", segment.told()?.attached, 1)
}
