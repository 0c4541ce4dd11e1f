//! Child processes that report differences; none outlives a failed workload.

use super::{Outcome, procfs, sync, sys};
use anyhow::{Context as _, Result, bail};

/// A child made by [`fork`]. Dropping it does nothing: a failed run kills every descendant at its
/// end.
#[derive(Debug)]
pub struct Child {
    pub pid: libc::pid_t,
    /// What the child is for, for errors.
    pub name: &'static str,
}

/// Forks a child that runs `body` and exits: 0 when it returns `Ok`, 1 when not, with the reason on
/// stderr.
///
/// The child has a copy of everything, so destructors of the parent's values do not run in it.
pub fn fork(name: &'static str, body: impl FnOnce() -> Outcome) -> Result<Child> {
    // SAFETY: workloads fork before they start threads, or the child keeps to async-signal-safe
    // calls and its own memory; glibc makes malloc usable in the child in either case.
    let pid = sys::check("fork", unsafe { libc::fork() }).with_context(|| format!("start {name}"))?;
    if pid != 0 {
        return Ok(Child { pid, name });
    }
    exit_with(name, std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)))
}

/// The same by clone(2), with these `CLONE_*` flags, none of which may take an argument; memory is
/// copied. With CLONE_FILES every descriptor that the child drops is closed in its parent, too.
pub fn fork_sharing(flags: i32, name: &'static str, body: impl FnOnce() -> Outcome) -> Result<Child> {
    assert_eq!(flags & (libc::CLONE_VM | libc::CLONE_SETTLS), 0, "the child has a copy of everything");
    let none: libc::c_long = 0;
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and a stack, this is fork(2), but for the C library's own handlers;
    // workloads fork before they start threads, so that none of its locks is held.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) };
    let pid = sys::check("clone", pid).with_context(|| format!("start {name}"))?;
    if pid != 0 {
        return Ok(Child { pid: pid as libc::pid_t, name });
    }
    exit_with(name, std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)))
}

/// Ends a child made by hand (clone, vfork) the way [`fork`] does.
pub fn exit_with(name: &str, outcome: std::thread::Result<Outcome>) -> ! {
    let status = match outcome {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            eprintln!("{name} ({}): {error:#}", sys::getpid());
            1
        }
        Err(_) => 101,
    };
    // SAFETY: _exit has no preconditions; it skips the exit handlers that belong to the parent.
    unsafe { libc::_exit(status) }
}

/// Exits the calling process with `code`, at once and without output.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Disables the core dump of the calling process, which a signal is about to kill. Its hard limit
/// is unchanged.
pub fn without_core() -> Outcome {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: sys::rlimit(libc::RLIMIT_CORE)?.1 };
    // SAFETY: the kernel reads the struct.
    sys::check("setrlimit", unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) })?;
    Ok(())
}

impl Child {
    /// Reaps the child, which must exit with 0.
    ///
    /// # Errors
    /// How it ended otherwise. Its own message is on stderr already.
    pub fn join(self) -> Outcome {
        self.join_as(0)
    }

    /// Reaps the child, which must exit with `code`.
    pub fn join_as(self, code: i32) -> Outcome {
        let status = self.wait()?;
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == code {
            return Ok(());
        }
        bail!("{} ({}): {}, want exit {code}", self.name, self.pid, describe(status))
    }

    /// Reaps the child, which must have died of `signal`.
    pub fn join_killed(self, signal: i32) -> Outcome {
        let status = self.wait()?;
        if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal {
            return Ok(());
        }
        bail!("{} ({}): {}, want death by signal {signal}", self.name, self.pid, describe(status))
    }

    /// Reaps the child; the wait status as waitpid(2) gives it.
    pub fn wait(&self) -> Result<i32> {
        let mut status = 0;
        loop {
            // SAFETY: `status` lives through the call.
            match sys::check("waitpid", unsafe { libc::waitpid(self.pid, &mut status, 0) }) {
                Err(e) if sys::errno_in(&e) == Some(libc::EINTR) => {}
                Err(e) => return Err(e).with_context(|| format!("reap {} ({})", self.name, self.pid)),
                Ok(_) => return Ok(status),
            }
        }
    }

    /// Sends a signal.
    pub fn kill(&self, signal: i32) -> Outcome {
        // SAFETY: kill has no memory arguments; the pid is our unreaped child.
        sys::check("kill", unsafe { libc::kill(self.pid, signal) })
            .with_context(|| format!("signal {} ({})", self.name, self.pid))?;
        Ok(())
    }

    /// Waits until the child is stopped by a signal.
    pub fn wait_stopped(&self) -> Outcome {
        sync::wait_until("the stop", || Ok(procfs::Stat::of(self.pid)?.state == 'T'))
    }

    /// Waits until the main thread of the child is blocked in system call `nr`.
    pub fn wait_blocked_in(&self, nr: libc::c_long) -> Outcome {
        sync::wait_until(&format!("{} ({}) to block in system call {nr}", self.name, self.pid), || {
            procfs::is_blocked_in(self.pid, self.pid, nr)
        })
    }
}

/// A wait status in words.
pub fn describe(status: i32) -> String {
    if libc::WIFEXITED(status) {
        format!("exit {}", libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        format!("death by signal {}", libc::WTERMSIG(status))
    } else {
        format!("wait status {status:#x}")
    }
}
