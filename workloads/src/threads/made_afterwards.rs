//! After a restart a process can create threads as before: ids are new, stacks come from the C
//! library's cache.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "new threads beside restored ones", needs: &[], active: false, statik: true, run };

static GO: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    // One that has exited already, so that there is a cached stack.
    thread::spawn(|| Ok(()))?.join()?;
    let old = thread::spawn(|| {
        GO.block_until(1);
        Ok(())
    })?;
    old.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    for _ in 0..4 {
        let before = procfs::tids()?;
        let new = thread::spawn(|| {
            GO.block_until(1);
            Ok(())
        })?;
        expect(!before.contains(&new.tid), || format!("thread id {} was in use", new.tid))?;
        expect(procfs::tids()?.contains(&new.tid), || format!("thread {} is not listed", new.tid))?;
        GO.set(1);
        new.join()?;
        GO.set(0);
    }
    GO.set(1);
    old.join()
}
