//! Shared anonymous memory, opened through /proc/self/map_files and mapped again, as private: pages
//! written there are the process's own.

use crate::framework::prelude::*;
use libc::{MAP_PRIVATE, O_RDONLY, PROT_READ, PROT_WRITE};
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "private mappings of shared anonymous memory, with written pages and others",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const PAGES: usize = 16;
/// Where the second private mapping starts in the shared memory.
const FROM: usize = 4;
/// Pages of the private mappings that are written.
const WRITTEN: [usize; 3] = [0, 3, 7];

fn run(cx: &mut Ctx) -> Outcome {
    let mut shared = Mapping::shared(PAGES * page_size())?;
    // The last pages of the memory stay untouched.
    for page in 0..PAGES - 2 {
        pattern::fill(shared.page_mut(page), cx.seed + page as u64);
    }
    let name = format!("/proc/self/map_files/{:x}-{:x}", shared.start(), shared.end());
    let file = match fd::open(&name, O_RDONLY, 0) {
        Err(error) if matches!(sys::errno_in(&error), Some(libc::EPERM | libc::EACCES)) => {
            return skip("/proc/self/map_files needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN");
        }
        file => file?,
    };
    let private = |pages: usize, from: usize| {
        let file = (file.as_fd(), (from * page_size()) as i64);
        Mapping::new(pages * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE, Some(file))
    };
    let mut whole = private(PAGES, 0)?;
    let mut part = private(PAGES - FROM, FROM)?;
    drop(file);
    let stage = Stage::new()?;
    let child = stage.fork("the process without the shared mapping", |stage| {
        shared.punch(0, PAGES)?;
        let mut whole = Mapping::adopt(whole.start(), whole.len());
        pattern::fill(whole.page_mut(1), cx.seed + 400);
        stage.hold();
        pattern::verify("page that it wrote", whole.page(1), cx.seed + 400)?;
        // Both have what its parent writes after it has checked its own.
        pattern::verify("a page of the object", whole.page(2), cx.seed + 302)?;
        pattern::verify(
            "an unused page of the object",
            whole.page(PAGES - 1),
            cx.seed + 300 + PAGES as u64 - 1,
        )
    })?;
    for page in WRITTEN {
        pattern::fill(whole.page_mut(page), cx.seed + 100 + page as u64);
        pattern::fill(part.page_mut(page), cx.seed + 200 + page as u64);
    }
    verify(&shared, &whole, &part, cx.seed).context("before")?;

    cx.ready()?;

    verify(&shared, &whole, &part, cx.seed)?;
    for memory in [&whole, &part] {
        expect_eq("protection", procfs::vma_at(memory.start())?.perms.as_str(), "rw-p")?;
    }
    // A write to the shared memory is visible in unmodified private pages.
    for page in 0..PAGES {
        pattern::fill(shared.page_mut(page), cx.seed + 300 + page as u64);
    }
    for (what, memory, from, key) in [("whole", &whole, 0, 100), ("part", &part, FROM, 200)] {
        for page in 0..PAGES - from {
            let key = if WRITTEN.contains(&page) { key + page } else { 300 + from + page };
            let what = format!("page {page} of the {what}, after new contents");
            pattern::verify(&what, memory.page(page), cx.seed + key as u64)?;
        }
    }
    // And a write to a private mapping is visible nowhere else.
    pattern::fill(whole.page_mut(5), 1);
    pattern::verify("page 5 of the shared memory", shared.page(5), cx.seed + 305)?;
    pattern::verify("page 5 of it in the part", part.page(5 - FROM), cx.seed + 305)?;
    stage.release();
    child.join()
}

/// Every page of the three mappings, as they were built.
fn verify(shared: &Mapping, whole: &Mapping, part: &Mapping, seed: u64) -> Outcome {
    let all =
        [("shared memory", shared, 0, None), ("whole", whole, 0, Some(100)), ("part", part, FROM, Some(200))];
    for (what, memory, from, own) in all {
        for page in 0..PAGES - from {
            let what = format!("page {page} of the {what}");
            match own.filter(|_| WRITTEN.contains(&page)) {
                Some(key) => pattern::verify(&what, memory.page(page), seed + key + page as u64)?,
                None if from + page >= PAGES - 2 => pattern::verify_zero(&what, memory.page(page))?,
                None => pattern::verify(&what, memory.page(page), seed + (from + page) as u64)?,
            }
        }
    }
    Ok(())
}
