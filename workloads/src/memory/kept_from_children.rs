//! MADV_DONTFORK: a child has no mapping there. MADV_WIPEONFORK: a child reads zeros.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "ranges that fork leaves out, and ranges that it wipes",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut absent = Mapping::private(3 * page_size())?;
    let mut wiped = Mapping::private(3 * page_size())?;
    pattern::fill(absent.bytes_mut(), cx.seed);
    pattern::fill(wiped.bytes_mut(), cx.seed);
    absent.advise(libc::MADV_DONTFORK)?;
    wiped.advise(libc::MADV_WIPEONFORK)?;

    cx.ready()?;

    pattern::verify("range that children do not get", absent.bytes(), cx.seed)?;
    pattern::verify("range that children get wiped", wiped.bytes(), cx.seed)?;
    expect(procfs::vma_at(absent.start())?.has("dc"), || "the range has lost its dc flag".into())?;
    expect(procfs::vma_at(wiped.start())?.has("wf"), || "the range has lost its wf flag".into())?;
    fork("child", || {
        expect_eq("mappings in the child", procfs::maps_in(absent.start(), absent.end())?.len(), 0)?;
        pattern::verify_zero("wiped range in the child", wiped.bytes())
    })?
    .join()
}
