//! Freezing every process in scope, and thawing.

use super::freezer::Freezers;
use super::scope::{Scope, own_processes, threads};
use crate::activity;
use crate::arch;
use crate::error::{Context, Error, Result};
use crate::proc::stat::Brief;
use crate::proc::syscall::{self, Blocked};
use crate::remote::{Code, ModuleThread, Program, ProgramOutput, Scratch, Stopped, Tracee};
use crate::sys::kmod::{self, Device};
use crate::sys::ptrace;
use crate::sys::task::{self, Seen};
use crate::sys::wait::{self, Stop};
use procfs::process::Stat;
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait for threads that do not stop.
pub struct Waiting<'a> {
    /// A thread that has not stopped after this long is in an uninterruptible sleep.
    pub patience: Duration,
    /// Polled; true cancels the freeze.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// A stopped process.
#[derive(Debug)]
pub struct Task {
    /// Its PID.
    pub pid: i32,
    /// /proc/PID/stat, read while it was stopped.
    pub stat: Stat,
    /// Its threads, the leader first, unless that has exited; empty for a zombie.
    pub threads: Vec<Stopped>,
    /// Whether the kernel has made threads in it, which are not stopped.
    pub has_workers: bool,
    /// The scratch range, once mapped.
    scratch: Option<Scratch>,
    /// The module session that holds it; `None` when it is traced.
    pub device: Option<Arc<Device>>,
}

/// All processes in scope, stopped. Thaws them when dropped.
pub struct Frozen {
    /// Parents before children.
    pub tasks: Vec<Task>,
    /// When the first thread was interrupted.
    pub since: Instant,
    holder: Option<Holder>,
    freezers: Freezers,
}

/// Holds threads by the kernel module instead of ptrace(2).
#[derive(Debug, Clone)]
pub struct Holder {
    /// The module session.
    pub device: Arc<Device>,
    /// Also hold threads that have a tracer, unless it has stopped them.
    pub traced: bool,
}

/// The init of a PID namespace.
const INIT: i32 = 1;

/// include/linux/sched.h
const PF_EXITING: u32 = 0x4;

/// How long a killed thread may take to end.
const REAPING: Duration = Duration::from_secs(1);

impl Frozen {
    /// Stops all threads in scope, repeating until no new ones appear. They are held through
    /// `holder`, or seized.
    ///
    /// # Errors
    /// *denied*, *vanished*, *unsupported*: already traced, a kernel thread, leader has exited and
    /// the kernel has no pidfds of threads, frozen, ourselves. Nothing stays stopped.
    pub fn freeze(scope: Scope, holder: Option<Holder>, waiting: &Waiting<'_>) -> Result<Self> {
        refuse_thread(scope)?;
        wait::block_sigchld();
        let own = own_processes();
        let freezers = Freezers::find();
        let mut frozen = Frozen { tasks: Vec::new(), since: Instant::now(), holder, freezers };
        let mut known = HashSet::new();
        let mut complete = false;
        while !complete {
            complete = true;
            for pid in scope.pids()? {
                if (waiting.cancelled)() {
                    return Err(Error::Interrupted);
                }
                if pid == INIT {
                    return Err(refuse_init());
                }
                if own.contains(&pid) {
                    return Err(refuse_ourselves(pid, scope));
                }
                if !known.contains(&pid) {
                    // A process that exited before it was stopped may be a zombie by now, which is
                    // saved, too.
                    complete = false;
                    if frozen.stop(pid, pid == scope.id(), waiting)? {
                        known.insert(pid);
                    }
                }
            }
        }
        if frozen.tasks.is_empty() {
            return Err(Error::Vanished(format!("no process in scope: {scope:?}")));
        }
        // Parents may have changed while some processes were still running: orphans are reparented.
        for task in &mut frozen.tasks {
            task.stat = read_stat(task.pid)?
                .ok_or_else(|| Error::Vanished(format!("pid {} has exited", task.pid)))?;
        }
        Ok(frozen)
    }

    /// Stops one process; false if it does not exist.
    fn stop(&mut self, pid: i32, named: bool, waiting: &Waiting<'_>) -> Result<bool> {
        activity::say(|| format!("stop process {pid}"));
        let Some(stat) = read_stat(pid)? else {
            return if named {
                Err(Error::Vanished(format!("pid {pid}: no such process")))
            } else {
                Ok(false)
            };
        };
        let device = self.holder.as_ref().map(|holder| Arc::clone(&holder.device));
        self.tasks.push(Task { pid, stat, threads: Vec::new(), has_workers: false, scratch: None, device });
        let task = self.tasks.last_mut().expect("just pushed");
        if task.stat.state == 'Z' && threads(pid)?.len() <= 1 {
            return Ok(true);
        }
        const PF_KTHREAD: u32 = 0x0020_0000;
        if task.stat.flags & PF_KTHREAD != 0 {
            return Err(Error::unsupported(format!(
                "pid {pid}: is a kernel thread; only user processes can be saved"
            )));
        }
        if let Some(group) = self.freezers.frozen(pid) {
            return Err(Error::unsupported(format!(
                "pid {pid}: is in a frozen control group ({}); thaw it first",
                group.display()
            )));
        }
        task.stop_threads(self.holder.as_ref(), waiting)?;
        if task.threads.is_empty() {
            // It exited before it could be seized: a zombie now, or gone.
            self.tasks.pop();
            return Ok(false);
        }
        Ok(true)
    }

    /// Lets all processes run.
    ///
    /// # Errors
    /// The first error; the other processes are released all the same.
    pub fn thaw(mut self) -> Result<()> {
        self.release()
    }

    /// Releases all processes into a group stop, by a SIGSTOP sent first.
    ///
    /// # Errors
    /// As [`Frozen::thaw`], and as kill(2).
    pub fn thaw_stopped(mut self) -> Result<()> {
        let stopped = self.tasks.iter().filter(|task| !task.threads.is_empty()).map(|task| {
            let stop = crate::sys::guard::kill(task.pid, libc::SIGSTOP);
            stop.context(|| format!("stop {} by SIGSTOP", task.pid))
        });
        let stopped = stopped.fold(Ok(()), Result::and);
        stopped.and(self.release())
    }

    /// Undoes the changes to each process, whatever happens with the others.
    fn release(&mut self) -> Result<()> {
        let mut first = Ok(());
        for mut task in self.tasks.drain(..) {
            // Move all threads out of the scratch range before it is unmapped.
            let written = task.tracees().map(Tracee::write_back).fold(Ok(()), Result::and);
            first = first.and(written.and_then(|()| task.unmap_scratch()));
            let (threads, mut dead) = (std::mem::take(&mut task.threads), Vec::new());
            for thread in threads {
                if let Stopped::Traced(tracee) = thread {
                    let (tid, result) = (tracee.tid, tracee.detach());
                    dead.extend(result.is_err().then_some(tid));
                    first = first.and(result);
                }
            }
            wait::reap(task.pid, dead, Instant::now() + REAPING);
            first = first.and(task.release());
        }
        first
    }

    /// The error to report: if a process was killed in the meantime, what was read from it is
    /// meaningless.
    pub fn attribute(&self, err: Error) -> Error {
        let killed = |task: &&Task| {
            let alive = |stat: Option<Stat>| stat.is_some_and(|stat| stat.flags & PF_EXITING == 0);
            !task.threads.is_empty() && !read_stat(task.seen().by).is_ok_and(alive)
        };
        match self.tasks.iter().find(killed) {
            Some(task) => Error::Vanished(format!("pid {}: exited in the meantime", task.pid)),
            None => err,
        }
    }

    /// Kills the stopped processes and waits until all threads have exited.
    ///
    /// # Errors
    /// As kill(2).
    pub fn kill(mut self) -> Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let tasks = std::mem::take(&mut self.tasks);
        // Only the parent can wait for a process we do not trace; poll a pidfd opened before the
        // kill.
        let held = tasks.iter().filter(|task| task.device.is_some() && !task.threads.is_empty());
        let pidfd = |task: &Task| task::pidfd(task.pid).context(|| format!("open pidfd of {}", task.pid));
        let ends = held.map(pidfd).collect::<Result<Vec<_>>>()?;
        for task in tasks.iter().filter(|t| !t.threads.is_empty()) {
            let pid = Pid::from_raw(task.pid).expect("a process id is positive");
            match kill_process(pid, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(err) => return Err(err).context(|| format!("kill {}", task.pid)),
            }
        }
        for task in tasks.iter().filter(|task| task.device.is_none()) {
            wait::await_ends(task.pid, task.threads.iter().map(Stopped::tid));
        }
        ends.iter().try_for_each(await_end)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // On an error path, where that error is reported; a process that is gone needs no release.
        let _ = self.release();
    }
}

impl Task {
    fn stop_threads(&mut self, holder: Option<&Holder>, waiting: &Waiting<'_>) -> Result<()> {
        match holder {
            Some(holder) => self.hold(holder, waiting.patience)?,
            None => self.seize(waiting)?,
        }
        self.threads.sort_by_key(|t| (t.tid() != self.pid, t.tid()));
        let seen = self.seen();
        let has_exited = self.threads.is_empty() && self.stat.state != 'Z';
        if has_exited || seen.has_leader() && !self.threads.is_empty() {
            return Ok(());
        }
        if is_ending(self.pid) {
            let why = format!("pid {}: is ending, and some of its threads still run", self.pid);
            return Err(Error::unsupported_now(why));
        }
        match seen.pidfd() {
            Err(err) if err.raw_os_error() == Some(libc::EINVAL) => Err(Error::unsupported(format!(
                "pid {}: its main thread has exited while others still run, and this kernel has no pidfds of those, by which its descriptors are found (PIDFD_THREAD, Linux 6.9); start the job so that main() waits for its threads",
                self.pid
            ))),
            // Whatever else is in the way is reported where it is needed.
            _ => Ok(()),
        }
    }

    /// By which thread its memory and descriptors are found.
    pub fn seen(&self) -> Seen {
        Seen { pid: self.pid, by: self.threads.first().map_or(self.pid, Stopped::tid) }
    }

    /// Lets the module hold all threads; none if the process has exited.
    fn hold(&mut self, Holder { device, traced }: &Holder, patience: Duration) -> Result<()> {
        let pid = self.pid;
        let flags = if *traced { kmod::FREEZE_TRACED } else { 0 };
        if let Err(err) = device.freeze(pid, flags, patience) {
            let reason = match err.raw_os_error() {
                Some(libc::ESRCH) => return Ok(()),
                Some(libc::EBUSY) => "already traced by another process; detach the tracer, or pass --traced",
                Some(libc::ETIMEDOUT) => {
                    "one of its threads does not stop: it is in uninterruptible sleep; wait until it wakes up, or allow more time with --time"
                }
                Some(libc::EOPNOTSUPP) => "has kernel worker threads (io_uring, vhost); end them first",
                _ => return Err(err).context(|| format!("hold {pid}")),
            };
            return Err(Error::unsupported(format!("pid {pid}: {reason}")));
        }
        for tid in threads(pid)? {
            let Some(held) = ModuleThread::look(device, pid, tid)? else { continue };
            // Its tracer has yet to see the reason for the stop, perhaps a signal; we would lose
            // it.
            if held.told.state == kmod::STATE_TRACED {
                return Err(Error::unsupported(format!(
                    "pid {pid}: thread {tid} is stopped by its tracer; let the tracer resume it first"
                )));
            }
            self.threads.push(Stopped::ModuleThread(held));
        }
        Ok(())
    }

    /// Releases a process held by the module.
    fn release(&self) -> Result<()> {
        let Some(device) = &self.device else { return Ok(()) };
        match device.thaw(self.pid) {
            Err(err) if err.raw_os_error() != Some(libc::ESRCH) => {
                Err(err).context(|| format!("release {}", self.pid))
            }
            // A process that is gone needs no release.
            _ => Ok(()),
        }
    }

    fn tracees(&mut self) -> impl Iterator<Item = &mut Tracee> {
        self.threads.iter_mut().filter_map(|thread| match thread {
            Stopped::Traced(tracee) => Some(tracee),
            Stopped::ModuleThread(_) => None,
        })
    }

    fn seize(&mut self, waiting: &Waiting<'_>) -> Result<()> {
        let mut known = HashSet::new();
        loop {
            let mut fresh = Vec::new();
            let tids = match threads(self.pid) {
                Ok(tids) => tids,
                Err(_) if read_stat(self.pid)?.is_none() => return Ok(()),
                Err(err) => return Err(err),
            };
            for tid in tids {
                if !known.contains(&tid)
                    && let Some(blocked) = seize(self.pid, tid)?
                {
                    fresh.push((tid, blocked));
                }
            }
            if fresh.is_empty() {
                break;
            }
            let deadline = Instant::now() + waiting.patience;
            for (tid, blocked) in fresh {
                if let Some(mut tracee) = await_stop(self.pid, tid, deadline, waiting.cancelled)? {
                    known.insert(tid);
                    // Without code of its own (`copy_thread`), it has no instruction to be at.
                    let stat = || Brief::of_thread(self.pid, tid);
                    if tracee.regs.ip() == 0 && stat().is_some_and(|stat| stat.is_worker()) {
                        tracee.detach()?;
                        self.has_workers = true;
                        continue;
                    }
                    let looked = tracee.look_closer(blocked);
                    // Listed even on failure, so that it is detached.
                    self.threads.push(Stopped::Traced(tracee));
                    looked?;
                }
            }
        }
        Ok(())
    }

    /// The signal of the group stop that it was in before.
    pub fn group_stop(&self) -> Option<i32> {
        self.threads.iter().find_map(Stopped::group_stop)
    }

    /// Runs a program of queries in the thread at this index, or lets the module evaluate it.
    ///
    /// # Errors
    /// The system call that failed.
    pub fn ask(&mut self, thread: usize, program: &Program) -> Result<ProgramOutput> {
        let scratch = self.scratch()?;
        match (&mut self.threads[thread], scratch) {
            (Stopped::ModuleThread(held), _) => held.answer(program),
            (Stopped::Traced(tracee), Some(scratch)) => {
                let outcome = tracee.run(&scratch, program)?;
                // Leave the scratch range before the next thread enters it: it holds the frame that
                // restores one thread if the engine dies.
                tracee.write_back()?;
                Ok(outcome)
            }
            (Stopped::Traced(_), None) => unreachable!("a traced process gets a scratch range"),
        }
    }

    /// The scratch range of a traced process, mapped on first use; `None` if the module holds it.
    ///
    /// # Errors
    /// The system calls that map it.
    pub fn scratch(&mut self) -> Result<Option<Scratch>> {
        if let (None, Stopped::Traced(leader)) = (self.scratch, &mut self.threads[0]) {
            let code = Code::find_with_way_back(leader.tid, leader.regs.sp())?;
            self.scratch = Some(Scratch::map(leader, code, None)?);
        }
        Ok(self.scratch)
    }

    fn unmap_scratch(&mut self) -> Result<()> {
        match (self.scratch.take(), self.threads.first_mut()) {
            (Some(scratch), Some(Stopped::Traced(leader))) => scratch.unmap(leader),
            _ => Ok(()),
        }
    }
}

/// Waits until a process has exited.
fn await_end(pidfd: &OwnedFd) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(err).context(|| "wait for the end of a process that was killed"),
        }
    }
}

/// Seizes and interrupts a thread; `None` when it has exited. Returns the system call it was
/// blocked in, where the stop does not preserve that.
fn seize(pid: i32, tid: i32) -> Result<Option<Option<Blocked>>> {
    match ptrace::seize(tid, ptrace::SYSGOOD) {
        Ok(()) => {}
        Err(err) if err.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(err) => {
            let Ok(status) = crate::proc::status::of_thread(pid, tid) else { return Ok(None) };
            if status.state.starts_with(['Z', 'X']) {
                return Ok(None);
            }
            if status.tracerpid != 0 {
                return Err(Error::unsupported(format!(
                    "pid {pid}: already traced by process {}; detach the tracer, or save it through the kernel module (--traced)",
                    status.tracerpid
                )));
            }
            return Err(err).context(|| format!("seize thread {tid} of {pid}"));
        }
    }
    let blocked = if arch::STOPS_LOSE_ARGUMENTS {
        // If it cannot be read, the thread has exited, which the next call reports.
        let line = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).unwrap_or_default();
        syscall::parse(&line)
    } else {
        None
    };
    match ptrace::interrupt(tid) {
        Ok(()) => Ok(Some(blocked)),
        Err(err) if err.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(err) => Err(err).context(|| format!("interrupt thread {tid} of {pid}")),
    }
}

/// Waits for the stop; `None` when the thread has exited instead.
fn await_stop(
    pid: i32,
    tid: i32,
    deadline: Instant,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Tracee>> {
    loop {
        let stop = wait::wait_until(tid, deadline, cancelled);
        let group_stop = match stop.context(|| format!("wait for thread {tid} of {pid}"))? {
            None if cancelled() => return Err(Error::Interrupted),
            None => {
                return Err(Error::unsupported(format!(
                    "pid {pid}: thread {tid} does not stop: {}",
                    sleep_of(tid)
                )));
            }
            Some(Stop::Exited(_) | Stop::Killed(_)) => return Ok(None),
            Some(Stop::Interrupted) => None,
            Some(Stop::Group(signal)) => Some(signal),
            // Any other stop consumes the requested one (kernel/signal.c, `ptrace_stop`): request
            // it again.
            Some(Stop::Signal(signal)) => {
                ptrace::interrupt(tid).context(|| format!("interrupt thread {tid} of {pid}"))?;
                ptrace::cont(tid, signal).context(|| format!("deliver signal {signal} to {tid}"))?;
                continue;
            }
            Some(Stop::Syscall | Stop::Event(_)) => {
                ptrace::interrupt(tid).context(|| format!("interrupt thread {tid} of {pid}"))?;
                ptrace::cont(tid, 0).context(|| format!("continue {tid}"))?;
                continue;
            }
        };
        let status = crate::proc::status::of_thread(pid, tid)?;
        let tracee = Tracee::adopt(pid, tid, group_stop, status.sigpnd | status.shdpnd)?;
        return Ok(Some(tracee));
    }
}

/// Describes where a thread that does not stop is sleeping.
fn sleep_of(tid: i32) -> String {
    let state = read_stat(tid).ok().flatten().map_or('?', |stat| stat.state);
    let function = std::fs::read_to_string(format!("/proc/{tid}/wchan")).unwrap_or_default();
    let function = match function.as_str() {
        "" | "0" => "at an unknown place in the kernel".to_string(),
        name => format!("in the kernel function {name}"),
    };
    format!(
        "it sleeps {function} (state {state}), and cannot be interrupted: a device or file system does not respond, or the child of a vfork(2) has not executed a program yet; wait until it wakes up, or allow more time with --time"
    )
}

/// Whether a process whose main thread is a zombie is ending as a whole, perhaps killed: its main
/// thread was only the first to end.
fn is_ending(pid: i32) -> bool {
    const KILL: u64 = 1 << (libc::SIGKILL - 1);
    let is_ending = |tid: &i32| {
        let status = crate::proc::status::of_thread(pid, *tid);
        let stat = read_stat(*tid).ok().flatten();
        status.map_or(true, |status| status.sigpnd & KILL != 0)
            || stat.is_none_or(|stat| stat.state == 'Z' || stat.flags & PF_EXITING != 0)
    };
    threads(pid).unwrap_or_default().iter().all(is_ending)
}

/// Refuses the id of a thread that is not a leader: /proc has a directory for it all the same.
fn refuse_thread(scope: Scope) -> Result<()> {
    let (Scope::Tree(id) | Scope::Process(id)) = scope else { return Ok(()) };
    match crate::proc::status::of_thread(id, id) {
        Ok(status) if status.tgid != id => Err(Error::unsupported(format!(
            "{id} is a thread of process {0}, and a process is saved with all its threads; use {0}",
            status.tgid
        ))),
        // A missing process is reported when it is to be stopped.
        _ => Ok(()),
    }
}

/// The error for a scope that includes the init: whoever restarts has that number.
fn refuse_init() -> Error {
    Error::unsupported(
        "pid 1 is the init of this PID namespace, and no restart can create that; save a process below it, or from outside the namespace",
    )
}

/// The error for a scope that includes cairn: it would have to stop itself.
fn refuse_ourselves(pid: i32, scope: Scope) -> Error {
    Error::unsupported(format!(
        "pid {pid} is cairn itself, which is part of what it should save ({} {}): save one process alone with --pid, or start cairn from outside the job",
        scope.word(),
        scope.id()
    ))
}

/// /proc/PID/stat; `None` when there is no such process.
pub fn read_stat(pid: i32) -> Result<Option<Stat>> {
    stat_at(&format!("/proc/{pid}/stat"))
}

/// A file of this form; `None` when there is no such process or thread.
pub fn stat_at(path: &str) -> Result<Option<Stat>> {
    use procfs::FromRead;
    match Stat::from_file(path) {
        Ok(stat) => Ok(Some(stat)),
        Err(procfs::ProcError::NotFound(_)) => Ok(None),
        Err(procfs::ProcError::Io(err, _)) if err.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(err) => Err(Error::Failed { what: format!("read {path}"), source: std::io::Error::other(err) }),
    }
}
