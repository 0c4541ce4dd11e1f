//! prctl(PR_SET_IO_FLUSHER) (Linux 5.6): a thread that file systems wait for, whose own allocations
//! must not wait for them. Reading it needs privileges, too.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the IO_FLUSHER state of threads that differ",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// include/uapi/linux/prctl.h
const PR_SET_IO_FLUSHER: libc::c_int = 57;
const PR_GET_IO_FLUSHER: libc::c_int = 58;

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    match get() {
        Err(error) if sys::errno_in(&error) == Some(libc::EPERM) => {
            return skip("PR_SET_IO_FLUSHER needs CAP_SYS_RESOURCE");
        }
        state => expect_eq("PR_GET_IO_FLUSHER at the beginning", state?, 0)?,
    }
    let hold = |state: i32| {
        thread::spawn(move || {
            set(state)?;
            GO.block_until(1);
            expect_eq("PR_GET_IO_FLUSHER of a thread", get()?, state)
        })
    };
    let threads = [hold(1)?, hold(0)?];
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }
    set(1)?;
    // A new thread inherits it, and must clear it.
    let late = hold(0)?;
    late.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    expect_eq("PR_GET_IO_FLUSHER of the main thread", get()?, 1)?;
    GO.set(1);
    threads.into_iter().chain([late]).try_for_each(Thread::join)
}

fn set(state: i32) -> Outcome {
    sys::prctl(PR_SET_IO_FLUSHER, [state as libc::c_ulong, 0, 0, 0]).map(drop)
}

fn get() -> anyhow::Result<i32> {
    sys::prctl(PR_GET_IO_FLUSHER, [0; 4])
}
