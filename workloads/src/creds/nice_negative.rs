//! A process with a negative nice value.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "a negative nice value", needs: &[Need::Root], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let get = || {
        // SAFETY: takes no memory. 20 minus the value.
        sys::check("getpriority", unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0) })
    };
    // SAFETY: takes no memory. The root tries first: where it may not, nothing is to be seen.
    if sys::errno_of(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -11) }).is_some() {
        return skip("may not raise its own priority");
    }
    let child = stage.fork("the favoured process", |stage| {
        stage.hold();
        expect_eq("20 minus the nice value", get()?, 31)
    })?;

    cx.ready()?;

    expect_eq("20 minus the nice value of the root", get()?, 31)?;
    stage.release();
    child.join()
}
