//! Three kinds of pages: with contents, with written zeros, and untouched ones, which must not
//! become populated.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "private anonymous pages: written, zeroed, never touched",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::private(64 * page_size())?;
    memory.advise(libc::MADV_NOHUGEPAGE).or_else(super::helpers::without_thp)?;
    for index in (0..64).step_by(4) {
        pattern::fill(memory.page_mut(index), cx.seed + index as u64);
        memory.page_mut(index + 1).fill(0);
    }

    cx.ready()?;

    // Before anything is read, because reading populates.
    let pages = procfs::pagemap(memory.start(), 64)?;
    for index in (0..64).step_by(4) {
        for untouched in [index + 2, index + 3] {
            expect(pages[untouched] >> 62 == 0, || format!("untouched page {untouched} is populated"))?;
        }
    }
    for index in 0..64 {
        let what = format!("page {index}");
        match index % 4 {
            0 => pattern::verify(&what, memory.page(index), cx.seed + index as u64)?,
            _ => pattern::verify_zero(&what, memory.page(index))?,
        }
    }
    memory.bytes_mut().fill(0x11);
    expect(memory.bytes().iter().all(|b| *b == 0x11), || "the memory cannot be written throughout".into())
}
