//! /proc/self/task/TID/comm.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "a name of its own for every thread", needs: &[], active: false, statik: false, run };

static GO: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let mut threads = Vec::new();
    for number in 0..5 {
        threads.push(thread::spawn(move || {
            let name = std::ffi::CString::new(format!("w{number} (x) y"))?;
            // SAFETY: a C string of less than 16 bytes.
            sys::check("prctl(PR_SET_NAME)", unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) })?;
            GO.block_until(1);
            Ok(())
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }
    let main = comm(sys::getpid())?;

    cx.ready()?;

    for (number, thread) in threads.iter().enumerate() {
        expect_eq("thread name", comm(thread.tid)?, format!("w{number} (x) y\n"))?;
    }
    expect_eq("name of the main thread", comm(sys::getpid())?, main)?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}

fn comm(tid: libc::pid_t) -> anyhow::Result<String> {
    std::fs::read_to_string(format!("/proc/self/task/{tid}/comm")).context("read comm")
}
