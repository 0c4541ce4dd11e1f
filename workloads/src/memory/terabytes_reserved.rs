//! PROT_NONE reservations use no memory and must use none afterwards; islands in them are
//! readable and writable.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "four terabytes of reserved address space with ten pages in it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const LEN: usize = 4 << 40;
const ISLANDS: usize = 10;

fn run(cx: &mut Ctx) -> Outcome {
    let Ok(space) = Mapping::reserve(LEN) else {
        return skip("4 TiB of address space are not to be had");
    };
    let at = |index: usize| LEN / ISLANDS / page_size() * index + 17;
    for index in 0..ISLANDS {
        space.protect(at(index), 1, libc::PROT_READ | libc::PROT_WRITE)?;
        pattern::fill(island(&space, at(index)).bytes_mut(), cx.seed + index as u64);
    }
    let before = super::helpers::layout(space.start(), space.end())?;

    cx.ready()?;

    expect_eq("layout", super::helpers::layout(space.start(), space.end())?, before)?;
    for index in 0..ISLANDS {
        pattern::verify("island", island(&space, at(index)).bytes(), cx.seed + index as u64)?;
    }
    let flags = procfs::vma_at(space.start())?.flags;
    expect(flags.contains("nr"), || format!("memory is accounted for the reservation: {flags:?}"))
}

/// One page of the reservation, as a value that does not unmap it.
fn island(space: &Mapping, page: usize) -> std::mem::ManuallyDrop<Mapping> {
    std::mem::ManuallyDrop::new(Mapping::adopt(space.start() + page * page_size(), page_size()))
}
