//! `cairn restart --new-pidns`: the restart is done by the init of a new PID namespace, which the
//! kernel ends with everything in it when its init ends. The front end stays outside, with the
//! terminal and the signals of the caller.

use super::partner::{self, Message, Partner, Side};
use anyhow::Context;
use cairn::error::Error;
use cairn::restart::Report;
use cairn::sys::session;
use cairn::sys::task;
use cairn::sys::wait::{self, Stop};
use cairn::tree::outside;
use nix::sched::{CloneFlags, setns, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;

const LOOK: &str = "look for others in the new PID namespace";

/// Makes the namespace and its init, which has mounted its own /proc. The caller must be
/// single-threaded.
///
/// # Errors
/// *denied* without CAP_SYS_ADMIN, *unsupported* without `CONFIG_PID_NS`.
pub fn enter() -> anyhow::Result<Side> {
    const MAKE: &str = "make a new PID namespace";
    let own = std::fs::File::open("/proc/self/ns/pid").context("open own PID namespace")?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(|err| match err {
        nix::Error::EPERM => Error::Denied {
            what: format!("{MAKE}: run the command with `sudo` (it needs CAP_SYS_ADMIN)"),
            source: err.into(),
        },
        nix::Error::EINVAL => Error::unsupported(format!("{MAKE}: the kernel has none (CONFIG_PID_NS)")),
        _ => Error::Failed { what: MAKE.into(), source: err.into() },
    })?;
    let side = partner::split("the init of the new PID namespace")?;
    match side {
        // Without this, we could not start threads (kernel/fork.c, `copy_process`).
        Side::Front(_) => setns(&own, CloneFlags::CLONE_NEWPID).context(
            "return to own PID namespace (needs CAP_SYS_ADMIN in the user namespace that owns it)",
        )?,
        Side::Partner(_) => mount_proc()?,
    }
    Ok(side)
}

/// Only /proc differs from the caller's mount namespace; all others go on to be shared where they
/// are.
fn mount_proc() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("make a new mount namespace")?;
    mount_change("/proc", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("keep changes of /proc to ourselves")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).context("mount a /proc of the new PID namespace")
}

/// How the front end stays with the job.
pub enum Stay {
    /// Not at all.
    Detached,
    /// Until the end of the job.
    Attended {
        /// Whether it is told of stops of the root.
        stops: bool,
        /// Whether the caller does not stay.
        lets_go: bool,
    },
}

/// The init of a job that runs: stays until nothing is left in the namespace, and reaps orphans.
/// Returns the exit code of the root, or 0 if detached.
///
/// # Errors
/// As waitpid(2).
pub fn attend(init: Partner, report: Report, stay: Stay) -> anyhow::Result<u8> {
    let report = Report { init: Some(std::process::id() as i32), ..report };
    init.release(&report)?;
    let (mut code, detach) = (0, matches!(stay, Stay::Detached));
    if let Stay::Attended { stops, lets_go } = stay {
        if lets_go {
            partner::let_go()?;
        }
        let killed_by;
        (code, killed_by) = await_job(&init, &report, stops)?;
        // A front end that has been killed does not listen.
        let _ = init.say(&Message::Ended { code, killed_by });
    }
    if detach || !guests().context(LOOK)?.is_empty() {
        // Without a session of our own, we would keep that of the caller in use.
        session::begin().context("begin a session")?;
        init.go_on()?;
        await_everybody()?;
    }
    Ok(code)
}

/// Waits until all processes without a parent in the job have exited; exit code of the root,
/// and the signal that killed it.
fn await_job(init: &Partner, report: &Report, stops: bool) -> anyhow::Result<(u8, Option<i32>)> {
    let mut left: HashSet<i32> = report.tops.iter().copied().collect();
    let mut of_root = (0, None);
    while !left.is_empty() {
        let (pid, stop) = wait::wait_any(stops).context("wait for the job")?;
        let ended = match stop {
            Stop::Exited(status) => (status as u8, None),
            Stop::Killed(signal) => ((128 + signal) as u8, Some(signal)),
            Stop::Signal(signal) if pid == report.pid => {
                // As above: it may have been killed.
                let _ = init.say(&Message::Stopped(signal));
                continue;
            }
            _ => continue,
        };
        left.remove(&pid);
        if pid == report.pid {
            of_root = ended;
        }
    }
    Ok(of_root)
}

/// Our end is that of everybody here: also of who has come by nsenter(1), such as a checkpoint that
/// has just ended the job.
fn await_everybody() -> anyhow::Result<()> {
    loop {
        reap_all().context("wait for the rest of the job")?;
        let guests = guests().context(LOOK)?;
        if guests.is_empty() {
            return Ok(());
        }
        for guest in guests {
            let mut end = [PollFd::new(&guest, PollFlags::IN)];
            while poll(&mut end, None) == Err(Errno::INTR) {}
        }
    }
}

/// Waits until we have no children.
fn reap_all() -> io::Result<()> {
    loop {
        match wait::wait_any(false) {
            Ok(_) => {}
            Err(err) if err.raw_os_error() == Some(libc::ECHILD) => return Ok(()),
            Err(err) => return Err(err),
        }
    }
}

/// All processes here but us that live.
fn guests() -> io::Result<Vec<OwnedFd>> {
    let own = std::process::id() as i32;
    let mut guests = Vec::new();
    let others = outside::everybody().filter(|stat| stat.pid != own);
    for other in others.filter(|stat| outside::living_thread(stat.pid, stat.state).is_some()) {
        match task::pidfd(other.pid) {
            Ok(fd) => guests.push(fd),
            Err(err) if err.raw_os_error() == Some(libc::ESRCH) => {}
            Err(err) => return Err(err),
        }
    }
    Ok(guests)
}
