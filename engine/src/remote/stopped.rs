//! A thread that is kept from running its own code: traced by us, or held by the kernel module.

use super::{ModuleThread, Tracee};
use crate::arch::Regs;
use crate::error::{Context, Result};
use crate::sys::ptrace;

/// How a thread is stopped, which decides how its state is read.
#[derive(Debug)]
pub enum Stopped {
    /// In a ptrace stop; runs programs to report its state.
    Traced(Tracee),
    /// Held by the kernel module, which reports its state.
    ModuleThread(ModuleThread),
}

impl Stopped {
    /// Its thread group id.
    pub fn pid(&self) -> i32 {
        match self {
            Stopped::Traced(tracee) => tracee.pid,
            Stopped::ModuleThread(held) => held.pid,
        }
    }

    /// Its thread id.
    pub fn tid(&self) -> i32 {
        match self {
            Stopped::Traced(tracee) => tracee.tid,
            Stopped::ModuleThread(held) => held.tid,
        }
    }

    /// Registers as they were at the stop.
    pub fn regs(&self) -> &Regs {
        match self {
            Stopped::Traced(tracee) => &tracee.regs,
            Stopped::ModuleThread(held) => &held.regs,
        }
    }

    /// Blocked signals, bit n-1 for signal n.
    pub fn mask(&self) -> u64 {
        match self {
            Stopped::Traced(tracee) => tracee.mask,
            Stopped::ModuleThread(held) => held.told.sigmask,
        }
    }

    /// The signal of the group stop that its process was in before; `None` if it was not.
    pub fn group_stop(&self) -> Option<i32> {
        match self {
            Stopped::Traced(tracee) => tracee.group_stop,
            Stopped::ModuleThread(held) => held.group_stop(),
        }
    }

    /// A register set as it was at the stop; `None` where it does not exist.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn register_set(&self, note: u32) -> Result<Option<Vec<u8>>> {
        match self {
            Stopped::Traced(tracee) => tracee.register_set(note),
            Stopped::ModuleThread(held) => held.register_set(note),
        }
    }

    /// The signals queued for the thread or, if `shared`, for its process, in queue order.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn queue(&self, shared: bool) -> Result<Vec<[u8; ptrace::SIGINFO_SIZE]>> {
        match self {
            Stopped::Traced(tracee) => ptrace::peek_siginfo(tracee.tid, shared)
                .context(|| format!("read pending signals of {}", tracee.tid)),
            Stopped::ModuleThread(held) => held.queue(shared),
        }
    }

    /// Registers for a restarted thread: an interrupted system call is restarted from the
    /// beginning.
    pub fn regs_to_restart(&self) -> Regs {
        match self {
            Stopped::Traced(tracee) => tracee.regs_to_restart(),
            Stopped::ModuleThread(held) => held.regs_to_restart(),
        }
    }
}
