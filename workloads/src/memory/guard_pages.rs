//! MADV_GUARD_INSTALL (6.13 on): touching such a page raises SIGSEGV although the mapping is not
//! split there.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "guard pages made by madvise, as in the C library's stacks",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// include/uapi/asm-generic/mman-common.h of 6.13.
const MADV_GUARD_INSTALL: i32 = 102;
const MADV_GUARD_REMOVE: i32 = 103;

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::private(16 * page_size())?;
    pattern::fill(memory.bytes_mut(), cx.seed);
    if memory.advise_pages(4, 2, MADV_GUARD_INSTALL).is_err() {
        return skip("the kernel has no MADV_GUARD_INSTALL");
    }
    let whole = Mapping::private(4 * page_size())?;
    whole.advise(MADV_GUARD_INSTALL)?;
    let before = super::helpers::layout(memory.start(), memory.end())?;

    cx.ready()?;

    expect_eq("layout", super::helpers::layout(memory.start(), memory.end())?, before)?;
    for index in [4, 5] {
        super::helpers::dies_reading(memory.start() + index * page_size(), libc::SIGSEGV)?;
    }
    super::helpers::dies_writing(whole.start(), libc::SIGSEGV)?;
    let want = pattern::bytes(16 * page_size(), cx.seed);
    expect_bytes("below the guards", &memory.bytes()[..4 * page_size()], &want[..4 * page_size()])?;
    expect_bytes("above the guards", &memory.bytes()[6 * page_size()..], &want[6 * page_size()..])?;
    memory.advise_pages(4, 2, MADV_GUARD_REMOVE)?;
    pattern::verify_zero("pages whose guard was removed", &memory.bytes()[4 * page_size()..6 * page_size()])
}
