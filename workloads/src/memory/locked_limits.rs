//! As much memory is locked as RLIMIT_MEMLOCK allows, and not one page more can be: without
//! CAP_IPC_LOCK the limit applies.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "locked memory that uses the limit up, in parts locked at once and on fault",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// include/uapi/linux/capability.h
const CAP_IPC_LOCK: u32 = 14;

const PAGES: usize = 8;

fn run(cx: &mut Ctx) -> Outcome {
    let mut at_once = Mapping::private(PAGES * page_size())?;
    let mut on_fault = Mapping::private(PAGES * page_size())?;
    let mut spare = Mapping::private(page_size())?;
    for memory in [&at_once, &on_fault, &spare] {
        memory.advise(libc::MADV_NOHUGEPAGE).or_else(super::helpers::without_thp)?;
    }
    without_capability()?;
    // The limit counts all locked bytes of the process; nothing else of it is locked.
    expect_eq("VmLck at the beginning", locked()?, 0)?;
    let size = (2 * PAGES * page_size()) as u64;
    let hard = sys::rlimit(libc::RLIMIT_MEMLOCK)?.1;
    if hard < size {
        return skip("not so much memory may be locked");
    }
    // Both of them: only root could lock one more page for a moment.
    let limit = libc::rlimit { rlim_cur: size, rlim_max: size };
    // SAFETY: the kernel reads the struct.
    sys::check("setrlimit", unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) })?;
    lock(&at_once, 0)?;
    lock(&on_fault, libc::MLOCK_ONFAULT)?;
    pattern::fill(at_once.page_mut(2), cx.seed);
    pattern::fill(on_fault.page_mut(5), cx.seed);
    pattern::fill(spare.page_mut(0), cx.seed);
    expect_eq("errno of one page more", fd::errno("mlock2", lock(&spare, 0))?, libc::ENOMEM)?;
    expect_eq("VmLck before", locked()?, size / 1024)?;

    cx.ready()?;

    expect_eq("limit", sys::rlimit(libc::RLIMIT_MEMLOCK)?, (size, size))?;
    expect_eq("VmLck", locked()?, size / 1024)?;
    for (memory, flag, pages) in [(&at_once, false, PAGES), (&on_fault, true, 1)] {
        let vma = procfs::vma_at(memory.start())?;
        expect(vma.has("lo"), || format!("the range is not locked: {:?}", vma.flags))?;
        let what = format!("populated pages, locked on fault: {flag}");
        expect_eq(&what, super::helpers::populated(memory)?, pages)?;
    }
    expect(!procfs::vma_at(spare.start())?.has("lo"), || "what was refused is locked".into())?;
    expect_eq("errno of one page more", fd::errno("mlock2", lock(&spare, 0))?, libc::ENOMEM)?;
    pattern::verify("page locked at once", at_once.page(2), cx.seed)?;
    pattern::verify("page locked on fault", on_fault.page(5), cx.seed)?;
    // SAFETY: unlocking changes no contents.
    sys::check("munlock", unsafe { libc::munlock(at_once.page(0).as_ptr().cast(), page_size()) })?;
    lock(&spare, 0).context("a page for another one")
}

/// Drops CAP_IPC_LOCK, with which the limit would not apply.
fn without_capability() -> Outcome {
    use crate::creds::helpers;
    let kept = |key| helpers::caps(key).map(|set| set & !helpers::mask(&[CAP_IPC_LOCK]));
    helpers::set_caps(kept("CapEff")?, kept("CapPrm")?, helpers::caps("CapInh")?)
}

fn lock(memory: &Mapping, flags: libc::c_uint) -> Outcome {
    // SAFETY: locking changes no contents.
    sys::check("mlock2", unsafe { libc::mlock2(memory.ptr().cast(), memory.len(), flags) })?;
    Ok(())
}

/// VmLck, in KiB.
fn locked() -> anyhow::Result<u64> {
    let text = procfs::status(sys::getpid(), "VmLck")?;
    Ok(text.trim_end_matches(" kB").parse()?)
}
