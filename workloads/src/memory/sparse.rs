//! Untouched pages must not be populated by a checkpoint or a restart, and read as zeros.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a gigabyte of memory with one page in a thousand populated",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const STEP: usize = 1021;

fn run(cx: &mut Ctx) -> Outcome {
    let pages = (1 << 30) / page_size();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let mut memory = Mapping::new(pages * page_size(), libc::PROT_READ | libc::PROT_WRITE, flags, None)?;
    memory.advise(libc::MADV_NOHUGEPAGE).or_else(super::helpers::without_thp)?;
    for index in (0..pages).step_by(STEP) {
        pattern::fill(memory.page_mut(index), cx.seed + index as u64);
    }

    cx.ready()?;

    let found = procfs::pagemap(memory.start(), pages)?;
    let populated = found.iter().filter(|page| *page >> 62 != 0).count();
    expect_eq("populated pages", populated, pages.div_ceil(STEP))?;
    for index in (0..pages).step_by(STEP) {
        pattern::verify(&format!("page {index}"), memory.page(index), cx.seed + index as u64)?;
        if index + 1 < pages {
            pattern::verify_zero("page behind it", memory.page(index + 1))?;
        }
    }
    Ok(())
}
