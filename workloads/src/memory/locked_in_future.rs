//! mlockall(2) with MCL_FUTURE: a property of the address space, visible only in later mappings.

use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

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
    // In a child, so that only a small process is locked into memory. An ordinary user may lock no
    // more than 64 KiB before Linux 5.16: it allocates next to nothing, and its parent looks.
    let child = fork("locking child", || {
        let mut old = Mapping::private(4 * page_size())?;
        pattern::fill(old.page_mut(1), seed);
        // SAFETY: no memory arguments.
        let rc = unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) };
        if sys::errno_of(rc).is_some() {
            signal.cell(1).set(2);
            return Ok(());
        }
        signal.number(0).store(old.start() as u64, SeqCst);
        signal.cell(1).set(1);
        signal.cell(0).block_until(1);
        pattern::verify("old page", old.page(1), seed)?;
        let new = Mapping::private(4 * page_size())?;
        signal.number(1).store(new.start() as u64, SeqCst);
        expect_eq("populated pages of a new range", super::helpers::populated(&new)?, 0)?;
        signal.cell(1).set(3);
        signal.cell(0).block_until(2);
        Ok(())
    })?;
    signal.cell(1).wait("the child to lock", 1)?;
    if signal.cell(1).get() == 2 {
        child.join()?;
        return skip("locking memory is not permitted");
    }
    child.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    signal.cell(0).set(1);
    signal.cell(1).wait("the child to map", 3)?;
    let is_locked = |mapping| {
        let address = signal.number(mapping).load(SeqCst) as usize;
        procfs::vma_of(child.pid, address).map(|vma| vma.has("lo"))
    };
    expect(!is_locked(0)?, || "an old range became locked".into())?;
    expect(is_locked(1)?, || "a new range is not locked".into())?;
    signal.cell(0).set(2);
    child.join()
}
