//! A thread that executes nothing of its program: traced by us, or held by the kernel module.

use super::{ModuleThread, Tracee};
use crate::arch::Regs;
use crate::error::{Context, Result};
use crate::sys::ptrace;

/// How a thread was stopped, and thereby how it is asked.
#[derive(Debug)]
pub enum Stopped {
    /// In a ptrace stop; what only it knows it is made to tell.
    Traced(Tracee),
    /// In the kernel module, which tells.
    ModuleThread(ModuleThread),
}

impl Stopped {
    /// Its thread group.
    pub fn pid(&self) -> i32 {
        match self {
            Stopped::Traced(tracee) => tracee.pid,
            Stopped::ModuleThread(held) => held.pid,
        }
    }

    /// Itself.
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

    /// The signal that stopped its process before we did.
    pub fn group_stop(&self) -> Option<i32> {
        match self {
            Stopped::Traced(tracee) => tracee.group_stop,
            Stopped::ModuleThread(held) => held.group_stop(),
        }
    }

    /// A register set as it was at the stop; nothing where there is none.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn register_set(&self, note: u32) -> Result<Option<Vec<u8>>> {
        match self {
            Stopped::Traced(tracee) => tracee.register_set(note),
            Stopped::ModuleThread(held) => held.register_set(note),
        }
    }

    /// The signals queued for the thread, or for its process, in queue order.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn queue(&self, shared: bool) -> Result<Vec<[u8; ptrace::SIGINFO_SIZE]>> {
        match self {
            Stopped::Traced(tracee) => ptrace::peek_siginfo(tracee.tid, shared)
                .context(|| format!("read pending signals of {}", tracee.tid)),
            Stopped::ModuleThread(held) => held.queue(shared),
        }
    }

    /// Registers with which a restarted thread goes on: an interrupted call is made again, from its
    /// beginning.
    pub fn regs_to_restart(&self) -> Regs {
        match self {
            Stopped::Traced(tracee) => tracee.regs_to_restart(),
            Stopped::ModuleThread(held) => held.regs_to_restart(),
        }
    }
}
