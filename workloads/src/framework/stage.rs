//! Children that build something, hold it while the workload waits for `go`, and verify it
//! afterwards.

use super::child::{Child, fork, fork_sharing};
use super::shared::Shared;
use super::{Outcome, procfs, sync};
use anyhow::{Result, bail};

/// The place where children wait. One page of shared memory; no descriptor, no timer, no signal.
pub struct Stage(Shared);

impl Stage {
    pub fn new() -> Result<Self> {
        Ok(Self(Shared::new()?))
    }

    /// Forks a child that builds, calls [`Stage::hold`] once and then verifies. Returns when the
    /// child holds, so that its memory does not change any more. May be nested: a child forks its
    /// own children before it holds.
    pub fn fork(&self, name: &'static str, body: impl FnOnce(&Stage) -> Outcome) -> Result<Child> {
        let child = fork(name, || body(self))?;
        self.wait_held(&child)?;
        Ok(child)
    }

    /// The same by [`fork_sharing`], with `CLONE_*` flags.
    pub fn fork_sharing(
        &self,
        flags: i32,
        name: &'static str,
        body: impl FnOnce(&Stage) -> Outcome,
    ) -> Result<Child> {
        let child = fork_sharing(flags, name, || body(self))?;
        self.wait_held(&child)?;
        Ok(child)
    }

    /// In a child: blocks in futex(2), without a timeout, until the release.
    pub fn hold(&self) {
        self.0.cell(0).block_until(1);
    }

    /// Waits until the main thread of `child` holds.
    pub fn wait_held(&self, child: &Child) -> Outcome {
        self.wait_in(child, libc::SYS_futex)
    }

    /// Waits until the main thread of `child` is blocked in system call `nr`; an exited child is an
    /// error.
    pub fn wait_in(&self, child: &Child, nr: libc::c_long) -> Outcome {
        let (name, pid) = (child.name, child.pid);
        sync::wait_until(&format!("{name} ({pid}) to block in system call {nr}"), || {
            if procfs::Stat::of(pid)?.state == 'Z' {
                bail!("{name} ({pid}) ended while it was building");
            }
            procfs::is_blocked_in(pid, pid, nr)
        })
    }

    /// In the root, after `go`: releases all holders.
    pub fn release(&self) {
        self.0.cell(0).set(1);
    }

    /// Further words to signal with. Number 0 is reserved for the release.
    pub fn shared(&self) -> &Shared {
        &self.0
    }
}
