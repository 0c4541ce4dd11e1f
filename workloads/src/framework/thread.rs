//! Threads that report differences, and waiting until they are blocked in the right call.

use super::mapping::page_size;
use super::{Outcome, procfs, sync, sys};
use anyhow::{Context as _, Result, anyhow};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// A running thread of the workload.
#[derive(Debug)]
pub struct Thread {
    /// Its kernel thread id.
    pub tid: libc::pid_t,
    handle: JoinHandle<Outcome>,
}

/// Starts a thread with a small stack; returns once it runs.
pub fn spawn(body: impl FnOnce() -> Outcome + Send + 'static) -> Result<Thread> {
    let (send, receive) = mpsc::channel();
    let handle =
        std::thread::Builder::new().stack_size((128 << 10).max(4 * page_size())).spawn(move || {
            // The receiver is gone only when the spawning side failed, and then the process ends
            // anyway.
            let _ = send.send(sys::gettid());
            drop(send);
            body()
        })?;
    Ok(Thread { tid: receive.recv().context("thread ended at once")?, handle })
}

impl Thread {
    /// Joins the thread, which must have returned `Ok`.
    pub fn join(self) -> Outcome {
        match self.handle.join() {
            Ok(outcome) => outcome.with_context(|| format!("thread {}", self.tid)),
            Err(_) => Err(anyhow!("thread {} panicked", self.tid)),
        }
    }

    /// The pthread id, for pthread calls while the thread is not joined.
    pub fn pthread(&self) -> libc::pthread_t {
        use std::os::unix::thread::JoinHandleExt as _;
        self.handle.as_pthread_t()
    }

    /// Waits until the thread is blocked in system call `nr`.
    pub fn wait_blocked_in(&self, nr: libc::c_long) -> Outcome {
        wait_blocked_in(self.tid, nr)
    }
}

/// Waits until thread `tid` of this process is blocked in system call `nr`.
pub fn wait_blocked_in(tid: libc::pid_t, nr: libc::c_long) -> Outcome {
    sync::wait_until(&format!("thread {tid} to block in system call {nr}"), || {
        procfs::is_blocked_in(sys::getpid(), tid, nr)
    })
}
