//! The supervisor of one cell: subreaper of everything the cell starts, and the only process that
//! waits for it. For the workload it also takes the role of a user's shell: the session leader,
//! which stays alive.
//!
//! Everything it waits for arrives as an event on a descriptor: exited children through a signalfd,
//! the end of the runner through standard input, output of programs through pipes. Only changes
//! that the kernel does not announce (a task going to sleep) are polled.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{WaitOptions, getpgrp, setsid, wait, waitpgid};

use super::proc;
use crate::engine::ERRORS_LIMIT;
use crate::engine::printed::{Printed, PrintedError};
use crate::oracle::leak::Outside;

/// How a process exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Exited with this status.
    Exited(i32),
    /// Killed by this signal; a number, because real-time signals have no names.
    Killed(i32),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exited(status) => write!(f, "exit status {status}"),
            End::Killed(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// Why a wait was aborted.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The deadline has passed.
    #[error("out of time")]
    Deadline,
    /// The runner is gone or requested a stop.
    #[error("the runner exited")]
    Orphaned,
    /// The output of a program is too large or cannot be read.
    #[error(transparent)]
    Printed(#[from] PrintedError),
    /// An unexpected system call failure.
    #[error("supervise: {0}")]
    Os(#[from] Errno),
}

/// Numbers of pseudo-terminals of a cell are in no other's way: it has a file system `devpts` of
/// its own (Documentation/filesystems/devpts.rst). An ordinary user has one for all.
///
/// Returns whether it is in a mount namespace of its own for that.
fn own_terminals() -> Result<bool, Errno> {
    const PTMX: &str = "/dev/pts/ptmx";
    if !Path::new(PTMX).exists() {
        return Ok(false);
    }
    match unshare(CloneFlags::CLONE_NEWNS) {
        Ok(()) => {}
        Err(Errno::EPERM) => return Ok(false),
        Err(other) => return Err(other),
    }
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("devpts"), "/dev/pts", Some("devpts"), MsFlags::empty(), Some("mode=620,ptmxmode=666"))?;
    mount(Some(PTMX), "/dev/ptmx", none, MsFlags::MS_BIND, none)?;
    Ok(true)
}

/// The supervisor's state; see the module documentation.
pub struct Supervisor {
    signals: SignalFd,
    stdin: io::Stdin,
    ended: BTreeMap<u32, End>,
    /// Output streams of programs that are still open.
    printed: Vec<Printed<File>>,
    /// Whether zombies in other process groups are left unreaped.
    jobs_wait: bool,
    /// Processes that are no part of the workload's tree, and stay.
    partners: Vec<u32>,
    /// The mounts at the beginning, if nobody else changes them.
    mounts: Option<Outside>,
}

impl Supervisor {
    /// Makes this process a subreaper and a session leader, and sets up its signals. Must be called
    /// before it has any child or thread.
    ///
    /// # Errors
    /// Those of prctl(2), setsid(2), unshare(2), sigprocmask(2) or signalfd(2).
    pub fn new() -> Result<Supervisor, Errno> {
        prctl::set_child_subreaper(true)?;
        // execve(2) of a link in /proc would leave the link's name as the command name.
        prctl::set_name(c"cairn-runner")?;
        setsid().map_err(errno)?;
        // System V objects and message queues of a cell are in no other's way, and gone with it. An
        // ordinary user, or a kernel without such namespaces, has one for all.
        match unshare(CloneFlags::CLONE_NEWIPC) {
            Ok(()) | Err(Errno::EPERM | Errno::EINVAL) => {}
            Err(other) => return Err(other),
        }
        let mounts = match own_terminals()? {
            true => Some(
                Outside::look(&[])
                    .map_err(|err| Errno::from_raw(err.raw_os_error().unwrap_or(nix::libc::EIO)))?,
            ),
            false => None,
        };
        let set = SigSet::from_iter([Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let (ended, printed) = (BTreeMap::new(), Vec::new());
        Ok(Supervisor {
            signals,
            stdin: io::stdin(),
            ended,
            printed,
            jobs_wait: false,
            partners: Vec::new(),
            mounts,
        })
    }

    /// Mounts that are new or gone since the beginning, if nobody else changes them.
    ///
    /// # Errors
    /// When the list of mounts cannot be read.
    pub fn changed_mounts(&self) -> io::Result<Vec<String>> {
        let Some(before) = &self.mounts else { return Ok(Vec::new()) };
        Ok(before.changes(&Outside::look(&[])?))
    }

    /// Starts a program. Its exit status is obtained through [`Supervisor::end_of`], never through
    /// the returned value.
    ///
    /// The command is consumed because it holds the files passed to the program: a file that a
    /// workload writes to must not be open in any other process, or it could not be checkpointed.
    ///
    /// # Errors
    /// Those of fork(2) or execve(2).
    pub fn spawn(&mut self, mut command: Command) -> io::Result<Child> {
        let child = command.spawn()?;
        // The PID may be reused once its former owner was reaped.
        self.ended.remove(&child.id());
        Ok(child)
    }

    /// Starts a program whose output is saved in `dir` as `TAG.stdout` and `TAG.stderr` by every
    /// subsequent wait. Output above the limit aborts the wait that reads it.
    ///
    /// # Errors
    /// Those of open(2), fork(2) or execve(2).
    pub fn spawn_heard(&mut self, mut command: Command, dir: &Path, tag: &str, most: u64) -> io::Result<u32> {
        let file = |stream: &str| File::create(dir.join(format!("{tag}.{stream}")));
        let (stdout, stderr) = (file("stdout")?, file("stderr")?);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn(command)?;
        if let Some(pipe) = child.stdout.take() {
            self.printed.push(Printed::new(pipe, stdout, tag, "standard output", most)?);
        }
        if let Some(pipe) = child.stderr.take() {
            self.printed.push(Printed::new(pipe, stderr, tag, "standard error", ERRORS_LIMIT)?);
        }
        Ok(child.id())
    }

    /// How this child exited, if it has.
    pub fn end_of(&self, pid: u32) -> Option<End> {
        self.ended.get(&pid).copied()
    }

    /// With `true`, leaves exited children in other process groups as zombies, as a shell does that
    /// waits for its foreground command and reaps its jobs later; with `false`, they are reaped
    /// again.
    pub fn let_jobs_wait(&mut self, wait: bool) {
        self.jobs_wait = wait;
    }

    /// Waits until `condition` returns a value. It is evaluated immediately, after every exited
    /// child, after any output of a program, whenever one of `fds` is readable or hung up, and
    /// every `tick` if given.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn wait<T>(
        &mut self,
        deadline: Instant,
        tick: Option<Duration>,
        fds: &[BorrowedFd<'_>],
        mut condition: impl FnMut(&Supervisor) -> Option<T>,
    ) -> Result<T, Stop> {
        loop {
            // The output of exited programs is complete.
            self.reap()?;
            self.take_printed()?;
            if let Some(value) = condition(self) {
                return Ok(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stop::Deadline);
            }
            // poll(2) takes milliseconds; round up to avoid busy waiting.
            let limit = tick.map_or(left, |tick| tick.min(left)).as_millis().clamp(1, 60_000);
            let limit = PollTimeout::from(u16::try_from(limit).unwrap_or(u16::MAX));
            let mut polled = vec![
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.stdin.as_fd(), PollFlags::POLLIN),
            ];
            polled.extend(self.printed.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
            polled.extend(fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
            match poll(&mut polled, limit) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            // The runner writes nothing after the order, so any event on standard input is its end.
            if polled[1].any().unwrap_or(true) {
                return Err(Stop::Orphaned);
            }
        }
    }

    /// Waits until one child exits.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn wait_end(&mut self, pid: u32, deadline: Instant) -> Result<End, Stop> {
        self.wait(deadline, None, &[], |sup| sup.end_of(pid))
    }

    /// Waits until no descendants are left except zombies kept for later; returns those that remain
    /// at the deadline.
    ///
    /// # Errors
    /// [`Stop`], except that a passed deadline is a result.
    pub fn wait_empty(&mut self, deadline: Instant) -> Result<Vec<u32>, Stop> {
        // A grandchild's exit is announced only to its own parent, hence the polling.
        let tick = Some(Duration::from_millis(2));
        match self.wait(deadline, tick, &[], |sup| sup.left().is_empty().then_some(())) {
            Ok(()) => Ok(Vec::new()),
            Err(Stop::Deadline) => Ok(self.left()),
            Err(other) => Err(other),
        }
    }

    /// Lets these processes be, which a workload talks to and which are no part of its tree.
    pub fn spare(&mut self, partners: Vec<u32>) {
        self.partners = partners;
    }

    /// The descendants of this process, without partners and zombies kept for later.
    pub(super) fn left(&self) -> Vec<u32> {
        let mut left: Vec<u32> = proc::descendants(std::process::id()).into_iter().collect();
        left.retain(|pid| !self.partners.contains(pid) && (!self.jobs_wait || !proc::is_dead(*pid)));
        left
    }

    /// Kills and reaps all descendants of this process; returns those that do not exit within 10 s.
    ///
    /// # Errors
    /// Those of poll(2) or waitpid(2).
    pub fn kill_all(&mut self) -> Result<Vec<u32>, Errno> {
        let me = std::process::id();
        let deadline = Instant::now() + Duration::from_secs(10);
        self.jobs_wait = false;
        loop {
            self.reap()?;
            let left = proc::descendants(me);
            if left.is_empty() || Instant::now() >= deadline {
                return Ok(left.into_iter().collect());
            }
            for pid in left {
                if let Err(error) = proc::signal_descendant(me, pid, Signal::SIGKILL) {
                    eprintln!("cairn-runner: kill {}: {error}", proc::describe(pid));
                }
            }
            let mut polled = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, 5u8) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Saves new output of programs.
    fn take_printed(&mut self) -> Result<(), PrintedError> {
        let mut result = Ok(());
        self.printed.retain_mut(|pipe| {
            let more = pipe.drain();
            more.unwrap_or_else(|error| {
                result = Err(error);
                false
            })
        });
        result
    }

    /// Reaps every exited child that is not kept for later.
    fn reap(&mut self) -> Result<(), Errno> {
        while let Some(info) = self.signals.read_signal()? {
            if info.ssi_signo != Signal::SIGCHLD as u32 {
                eprintln!("cairn-runner: supervisor got signal {}", info.ssi_signo);
            }
        }
        loop {
            let ended = match self.jobs_wait {
                false => wait(WaitOptions::NOHANG),
                true => waitpgid(getpgrp(), WaitOptions::NOHANG),
            };
            match ended {
                Ok(Some((pid, status))) => {
                    let end = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => End::Exited(code),
                        (None, Some(signal)) => End::Killed(signal),
                        (None, None) => continue,
                    };
                    self.ended.insert(pid.as_raw_nonzero().get().unsigned_abs(), end);
                }
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(other) => return Err(errno(other)),
            }
        }
    }
}

/// Converts between the error types of the two crates.
fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}
