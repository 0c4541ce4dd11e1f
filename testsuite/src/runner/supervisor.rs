//! The process that stands above one cell: subreaper of everything the cell starts, and the only
//! one to wait for it. To what it starts it is also the shell of a user: the leader of the session,
//! which lives on.
//!
//! Everything it waits for arrives as an event on a descriptor: ended children through a signalfd,
//! the end of the runner through standard input, programs' words through their pipes. Only what the
//! kernel announces nowhere (a task going to sleep) is looked at in intervals.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{WaitOptions, getpgrp, setsid, wait, waitpgid};

use super::proc;
use crate::engine::ERRORS_LIMIT;
use crate::engine::printed::{Printed, PrintedError};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it; a number, because real-time signals have no names.
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

/// Why a wait was given up.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The time was over.
    #[error("out of time")]
    Deadline,
    /// The runner is gone or asked for an end.
    #[error("the runner went away")]
    Orphaned,
    /// A program's words.
    #[error(transparent)]
    Printed(#[from] PrintedError),
    /// A system call that must not fail failed.
    #[error("supervise: {0}")]
    Os(#[from] Errno),
}

/// See the module's head.
pub struct Supervisor {
    signals: SignalFd,
    stdin: io::Stdin,
    ended: BTreeMap<u32, End>,
    /// What programs print, until they close it.
    printed: Vec<Printed<File>>,
    /// Whether the dead in other process groups are left as they are.
    jobs_wait: bool,
}

impl Supervisor {
    /// Makes this process a subreaper and the leader of a session, and routes its signals. To be
    /// called before it has any child or thread.
    ///
    /// # Errors
    /// What prctl(2), setsid(2), sigprocmask(2) or signalfd(2) say.
    pub fn new() -> Result<Supervisor, Errno> {
        prctl::set_child_subreaper(true)?;
        // Started through a link in /proc, it would have the link's name.
        prctl::set_name(c"cairn-runner")?;
        setsid().map_err(errno)?;
        let set = SigSet::from_iter([Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let (ended, printed) = (BTreeMap::new(), Vec::new());
        Ok(Supervisor { signals, stdin: io::stdin(), ended, printed, jobs_wait: false })
    }

    /// Starts a program. Its end is learnt through [`Supervisor::end_of`] and never through the
    /// returned value.
    ///
    /// The command is used up: it holds the files that it was given, and a file that a workload
    /// writes to is to be open nowhere else, or it could not be saved.
    ///
    /// # Errors
    /// What fork(2) or execve(2) say.
    pub fn spawn(&mut self, mut command: Command) -> io::Result<Child> {
        let child = command.spawn()?;
        // A number can come back once its former owner was reaped.
        self.ended.remove(&child.id());
        Ok(child)
    }

    /// Starts a program of which every wait from now on keeps what it prints, in `dir`, in
    /// `TAG.stdout` and `TAG.stderr`. More than a limit stops the wait that finds it.
    ///
    /// # Errors
    /// What open(2), fork(2) or execve(2) say.
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

    /// How this child ended, if it has.
    pub fn end_of(&self, pid: u32) -> Option<End> {
        self.ended.get(&pid).copied()
    }

    /// Leaves whoever ends in another process group than this one's a zombie, as a shell does that
    /// waits for its command in the foreground and looks after its jobs later; with `false`, later
    /// has come.
    pub fn let_jobs_wait(&mut self, wait: bool) {
        self.jobs_wait = wait;
    }

    /// Waits until `condition` gives a value. It is asked at once, after every ended child, after
    /// whatever a program printed, whenever one of `fds` is readable or hung up, and every `tick`
    /// if there is one.
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
            // What the dead printed is complete.
            self.reap()?;
            self.take_printed()?;
            if let Some(value) = condition(self) {
                return Ok(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stop::Deadline);
            }
            // poll(2) counts milliseconds; round up so that it never spins.
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
            // The runner never writes after the order, so anything on standard input is its end.
            if polled[1].any().unwrap_or(true) {
                return Err(Stop::Orphaned);
            }
        }
    }

    /// Waits for the end of one child.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn wait_end(&mut self, pid: u32, deadline: Instant) -> Result<End, Stop> {
        self.wait(deadline, None, &[], |sup| sup.end_of(pid))
    }

    /// Waits until nothing is left below this process but the dead who wait; otherwise says what
    /// is.
    ///
    /// # Errors
    /// [`Stop`], except that running out of time is an answer.
    pub fn wait_empty(&mut self, deadline: Instant) -> Result<Vec<u32>, Stop> {
        // A grandchild's end is announced to its own parent, hence the interval.
        let tick = Some(Duration::from_millis(2));
        match self.wait(deadline, tick, &[], |sup| sup.left().is_empty().then_some(())) {
            Ok(()) => Ok(Vec::new()),
            Err(Stop::Deadline) => Ok(self.left()),
            Err(other) => Err(other),
        }
    }

    /// Whoever is below this process, without the dead who are to wait.
    fn left(&self) -> Vec<u32> {
        let mut left: Vec<u32> = proc::descendants(std::process::id()).into_iter().collect();
        left.retain(|&pid| !self.jobs_wait || !proc::is_dead(pid));
        left
    }

    /// Kills whatever lives below this process and waits for its end; what does not die in 10 s is
    /// returned.
    ///
    /// # Errors
    /// What poll(2) or waitpid(2) say.
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

    /// Keeps what programs have printed since the last time.
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

    /// Takes the end of every child that has one and does not have to wait.
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

/// The same error in the words of the other crate.
fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}
