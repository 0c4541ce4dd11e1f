//! mlock(2) populates and pins; mlock2(2) with MLOCK_ONFAULT pins what is touched and leaves the
//! rest unpopulated.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "memory locked by mlock, and on fault by mlock2",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut all = Mapping::private(8 * page_size())?;
    let mut touched = Mapping::private(8 * page_size())?;
    for memory in [&all, &touched] {
        memory.advise(libc::MADV_NOHUGEPAGE).or_else(super::helpers::without_thp)?;
    }
    // SAFETY: locking changes no contents.
    let rc = unsafe { libc::mlock(all.ptr().cast(), all.len()) };
    if matches!(sys::errno_of(rc), Some(libc::EPERM | libc::ENOMEM)) {
        return skip("locking memory is not permitted");
    }
    sys::check("mlock", rc)?;
    // SAFETY: as above.
    sys::check("mlock2", unsafe { libc::mlock2(touched.ptr().cast(), touched.len(), libc::MLOCK_ONFAULT) })?;
    pattern::fill(all.page_mut(2), cx.seed);
    pattern::fill(touched.page_mut(5), cx.seed);
    let before = (flags(&all)?, flags(&touched)?);

    cx.ready()?;

    expect_eq("flags", (flags(&all)?, flags(&touched)?), before)?;
    expect_eq("populated pages of the locked range", super::helpers::populated(&all)?, 8)?;
    expect_eq("populated pages of the range locked on fault", super::helpers::populated(&touched)?, 1)?;
    pattern::verify("locked page", all.page(2), cx.seed)?;
    pattern::verify("page locked on fault", touched.page(5), cx.seed)?;
    expect(procfs::vma_at(touched.start())?.kib("Locked")? >= 4, || "the touched page is not locked".into())
}

/// The VmFlags of a mapping.
fn flags(memory: &Mapping) -> anyhow::Result<std::collections::BTreeSet<String>> {
    let vma = procfs::vma_at(memory.start())?;
    anyhow::ensure!(vma.has("lo"), "the range is not locked: {:?}", vma.flags);
    Ok(vma.flags)
}
