//! pidfds of threads (Linux 6.9).

use super::helpers::{has_ended, pidfd, refers_to};
use crate::framework::prelude::*;
use std::sync::Arc;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pidfd of a thread tells of the end of that thread, and one of the process does not",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// include/uapi/linux/pidfd.h
const PIDFD_THREAD: i32 = libc::O_EXCL;

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Arc::new(Stage::new()?);
    let theirs = Arc::clone(&stage);
    let thread = thread::spawn(move || {
        theirs.hold();
        Ok(())
    })?;
    thread.wait_blocked_in(libc::SYS_futex)?;
    let Ok(of_thread) = pidfd(thread.tid, PIDFD_THREAD) else {
        stage.release();
        thread.join()?;
        return skip("this kernel has no pidfds of threads");
    };
    let tid = thread.tid;
    let (of_leader, of_process) = (pidfd(sys::getpid(), PIDFD_THREAD)?, pidfd(sys::getpid(), 0)?);

    cx.ready()?;

    expect_eq("of the thread", refers_to(&of_thread)?, tid)?;
    expect_eq("of the leader", refers_to(&of_leader)?, sys::getpid())?;
    expect_eq("of the process", refers_to(&of_process)?, sys::getpid())?;
    let is_of_thread = |fd| anyhow::Ok(fd::flags(fd)? & PIDFD_THREAD != 0);
    expect_eq(
        "which are of threads",
        (is_of_thread(&of_thread)?, is_of_thread(&of_leader)?, is_of_thread(&of_process)?),
        (true, true, false),
    )?;
    expect(!has_ended(&of_thread)?, || "the thread has not ended".into())?;
    stage.release();
    thread.join()?;
    sync::wait_until("the pidfd to tell of the end of the thread", || has_ended(&of_thread))?;
    expect(!has_ended(&of_leader)? && !has_ended(&of_process)?, || "the process has not ended".into())
}
