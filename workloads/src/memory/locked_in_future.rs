//! mlockall(2) with MCL_FUTURE: a property of the address space, visible only in later mappings.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process that locks whatever it will map",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let signal = Shared::new()?;
    let seed = cx.seed;
    // In a child, so that only a small process is locked into memory.
    let child = fork("locking child", || {
        let mut old = Mapping::private(4 * page_size())?;
        pattern::fill(old.page_mut(1), seed);
        // SAFETY: no memory arguments.
        let rc = unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) };
        if sys::errno_of(rc).is_some() {
            signal.cell(1).set(2);
            return Ok(());
        }
        signal.cell(1).set(1);
        signal.cell(0).block_until(1);
        pattern::verify("old page", old.page(1), seed)?;
        expect(!procfs::vma_at(old.start())?.has("lo"), || "an old range became locked".into())?;
        let new = Mapping::private(4 * page_size())?;
        expect(procfs::vma_at(new.start())?.has("lo"), || "a new range is not locked".into())?;
        expect_eq("populated pages of a new range", super::helpers::populated(&new)?, 0)
    })?;
    signal.cell(1).wait("the child to lock", 1)?;
    if signal.cell(1).get() == 2 {
        child.join()?;
        return skip("locking memory is not permitted");
    }
    child.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    signal.cell(0).set(1);
    child.join()
}
