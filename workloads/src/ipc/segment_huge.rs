//! SHM_HUGETLB: a segment in explicit huge pages.

use super::helpers::Segment;
use crate::framework::prelude::*;
use crate::memory::helpers::{huge_page, mark, verify_marks};

pub const WORKLOAD: Workload = Workload {
    purpose: "System V shared memory in huge pages",
    needs: &[Need::Hugepages, Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let huge = huge_page()?;
    // Smaller than its pages.
    let segment = Segment::private(2 * huge - 100, libc::SHM_HUGETLB | 0o600)?.in_pages_of(huge);
    let mut memory = segment.attach(0)?;
    mark(&mut memory.bytes_mut()[..huge], cx.seed);
    let before = segment.told()?;

    cx.ready()?;

    expect_eq("segment", &segment.told()?, &before)?;
    verify_marks("first huge page", &memory.bytes()[..huge], cx.seed)?;
    let page = procfs::smaps_in(memory.start(), memory.end())?[0].kib("KernelPageSize")?;
    expect_eq("page size", page as usize, huge / 1024)?;
    mark(&mut memory.bytes_mut()[huge..], 2);
    let other = segment.attach(0)?;
    verify_marks("huge page written afterwards", &other.bytes()[huge..], 2)
}
