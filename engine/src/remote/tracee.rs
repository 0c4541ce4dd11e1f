//! A seized thread: its registers and signal mask as we found them, and the two ways to run
//! something in it.

use super::code::{Code, WayBack, is_at_syscall};
use super::program::{Call, Expect, Loader, Program, ProgramOutput};
use super::scratch::{self, Scratch};
use super::sleep;
use crate::arch::{self, Regs};
use crate::error::{Context, Error, Result};
use crate::proc::syscall::Blocked;
use crate::sys::RemoteAddr;
use crate::sys::ptrace::{self, Tid};
use crate::sys::vm;
use crate::sys::wait::{self, Stop};
use std::io;

/// Signals whose default action is to be ignored; one of them notifies us that a program has
/// finished.
const QUIET_SIGNALS: [i32; 3] = [libc::SIGWINCH, libc::SIGURG, libc::SIGCHLD];

/// A thread in a ptrace stop.
#[derive(Debug)]
pub struct Tracee {
    /// Its thread group id.
    pub pid: i32,
    /// Its thread id.
    pub tid: Tid,
    /// Registers to resume with.
    pub regs: Regs,
    /// Blocked signals to resume with, bit n-1 for signal n.
    pub mask: u64,
    /// The signal of the group stop that it is in.
    pub group_stop: Option<i32>,
    /// Signals that arrived while a program ran and were not delivered.
    held: Vec<i32>,
    /// Whether registers or mask in the kernel differ from those above.
    disturbed: bool,
    /// Whether all signals but the notification are blocked.
    quiet: bool,
    notify: i32,
    /// Whether SIGSYS is not pending.
    without_sigsys: bool,
    /// Whether its system calls may be dispatched as SIGSYS, which cannot be read. SIGSYS must then
    /// not be blocked: forcing a blocked signal resets its handler (kernel/signal.c,
    /// `force_sig_info_to_task`).
    may_dispatch: bool,
    /// Register sets that system calls clobber, as they were at the stop: note type and contents.
    kept: Vec<(u32, Vec<u8>)>,
    /// Interrupted in a call with time left, which the registers do not show.
    time_left: bool,
}

impl Tracee {
    /// Takes over a process that was just created and sleeps, with these options of ptrace(2).
    /// `pending` is the set of its pending signals.
    ///
    /// # Errors
    /// What ptrace(2) reports; it has ended.
    pub fn seize(pid: i32, options: i32, pending: u64) -> Result<Self> {
        ptrace::seize(pid, options).context(|| format!("seize {pid}"))?;
        ptrace::interrupt(pid).context(|| format!("interrupt {pid}"))?;
        Tracee::await_first_stop(pid, pid, pending)
    }

    /// Takes over a task that was just created and seized, at its first stop. `pending` is the set
    /// of its pending signals.
    ///
    /// # Errors
    /// What ptrace(2) reports; it has ended.
    pub fn await_first_stop(pid: i32, tid: Tid, pending: u64) -> Result<Self> {
        match wait::wait(tid).context(|| format!("wait for the first stop of {tid}"))? {
            Stop::Interrupted | Stop::Group(_) => Tracee::adopt(pid, tid, None, pending),
            stop => Err(Error::Failed {
                what: format!("create {tid}"),
                source: io::Error::other(format!("unexpected stop {stop:?}")),
            }),
        }
    }

    /// Takes over a thread that is in a ptrace stop now. `pending` is the set of its pending
    /// signals.
    pub fn adopt(pid: i32, tid: Tid, group_stop: Option<i32>, pending: u64) -> Result<Self> {
        let regs = match ptrace::get_regs(tid) {
            Err(err) if err.kind() == io::ErrorKind::Unsupported => {
                return Err(Error::unsupported(format!(
                    "pid {pid}: thread {tid} runs 32-bit code; only 64-bit programs can be saved"
                )));
            }
            other => other.context(|| format!("read registers of {tid}"))?,
        };
        let mask = ptrace::get_sigmask(tid).context(|| format!("read signal mask of {tid}"))?;
        let notify = QUIET_SIGNALS.into_iter().find(|s| pending & (1 << (s - 1)) == 0);
        let notify = notify.ok_or_else(|| {
            Error::unsupported(format!(
                "thread {tid} of {pid}: SIGWINCH, SIGURG and SIGCHLD all pending at once"
            ))
        })?;
        Ok(Tracee {
            pid,
            tid,
            regs,
            mask,
            group_stop,
            held: Vec::new(),
            disturbed: false,
            quiet: false,
            notify,
            without_sigsys: pending & 1 << (libc::SIGSYS - 1) == 0,
            may_dispatch: false,
            kept: Vec::new(),
            time_left: false,
        })
    }

    /// Saves what our first system call here would destroy. For a thread of a running program, not
    /// for one just created. `blocked` is the call that it was blocked in before the stop.
    ///
    /// # Errors
    /// *vanished* when the thread was killed.
    pub fn look_closer(&mut self, blocked: Option<Blocked>) -> Result<()> {
        if blocked.is_some_and(|call| arch::repeatable_after_eintr(call.nr) && self.regs.undo_eintr(&call)) {
            self.disturbed = true;
        }
        self.may_dispatch =
            arch::DISPATCHES_SYSCALLS && self.without_sigsys && !ptrace::tells_dispatch(self.tid);
        // The stop made such a call fail with EINTR: restart it, even if no program runs here.
        let failed = self.regs.interrupted_syscall().filter(|call| call.kind == arch::InterruptedKind::Eintr);
        if failed.is_some_and(|call| arch::repeatable_after_eintr(call.nr)) {
            self.disturbed = true;
        }
        for note in arch::LOST_IN_SYSCALLS {
            if let Some(data) = self.register_set(*note)?.filter(|data| arch::is_live(*note, data)) {
                self.kept.push((*note, data));
            }
        }
        if self.regs.may_hide_time_left() && is_at_syscall(self.tid, &self.regs) {
            self.find_time_left()?;
        }
        Ok(())
    }

    /// Where the registers do not show whether an interrupted call has time left, let the thread
    /// run to its next system call, which is restart_syscall(2) if so. The call, whichever it is,
    /// is skipped.
    fn find_time_left(&mut self) -> Result<()> {
        let regs = self.regs;
        self.disturb(&regs)?;
        self.enter_syscall()?;
        let entered = ptrace::get_regs(self.tid).context(|| format!("read registers of {}", self.tid))?;
        self.time_left = entered.syscall_number() == arch::SYS_RESTART_SYSCALL;
        arch::skip_syscall(self.tid).context(|| format!("skip a system call of {}", self.tid))?;
        self.leave_syscall()?;
        self.write_back()
    }

    fn wait(&self) -> std::io::Result<Stop> {
        if self.tid == self.pid { wait::wait_for_leader(self.tid) } else { wait::wait(self.tid) }
    }

    /// Lets the thread run to its next system call entry.
    fn enter_syscall(&mut self) -> Result<()> {
        loop {
            ptrace::cont_to_syscall(self.tid).context(|| format!("step {}", self.tid))?;
            match self.wait().context(|| format!("wait for {}", self.tid))? {
                Stop::Syscall => return Ok(()),
                Stop::Interrupted | Stop::Group(_) => {}
                // Linux 5.11 to 6.3 do not show this to a tracer: our call was dispatched as a
                // signal (kernel/entry/syscall_user_dispatch.c).
                Stop::Signal(libc::SIGSYS) if ptrace::is_dispatched_call(self.tid) => {
                    return Err(Error::unsupported(format!(
                        "pid {}: thread {} uses syscall user dispatch (PR_SET_SYSCALL_USER_DISPATCH)",
                        self.pid, self.tid
                    )));
                }
                Stop::Signal(sig) => self.held.push(sig),
                stop => return Err(self.gone(stop)),
            }
        }
    }

    /// From a system call entry to a stop before the thread's next instruction. Not the exit stop:
    /// there arm64 uses one register for its own purposes (arch/arm64/kernel/ptrace.c,
    /// `report_syscall`).
    fn leave_syscall(&mut self) -> Result<()> {
        loop {
            // A signal stop consumes the interrupt.
            ptrace::interrupt(self.tid).context(|| format!("interrupt {}", self.tid))?;
            ptrace::cont(self.tid, 0).context(|| format!("continue {}", self.tid))?;
            match self.wait().context(|| format!("wait for {}", self.tid))? {
                Stop::Interrupted | Stop::Group(_) => return Ok(()),
                Stop::Signal(sig) => self.held.push(sig),
                stop => return Err(self.gone(stop)),
            }
        }
    }

    /// A register set as it was at the stop; `None` where it does not exist.
    ///
    /// # Errors
    /// What ptrace(2) reports.
    pub fn register_set(&self, note: u32) -> Result<Option<Vec<u8>>> {
        match self.kept.iter().find(|(kept, _)| *kept == note) {
            Some((_, data)) => Ok(Some(data.clone())),
            None => ptrace::register_set(self.tid, note)
                .context(|| format!("read register set {note:#x} of {}", self.tid)),
        }
    }

    /// The thread pointer.
    ///
    /// # Errors
    /// What ptrace(2) reports.
    pub fn thread_pointer(&self) -> Result<u64> {
        let tls = arch::TLS_SET.map_or(Ok(None), |note| self.register_set(note))?;
        Ok(self.regs.thread_pointer(tls.as_deref().unwrap_or_default()))
    }

    fn gone(&self, stop: Stop) -> Error {
        Error::Vanished(match stop {
            Stop::Exited(code) => {
                format!("thread {} of {}: exited with {code} in the meantime", self.tid, self.pid)
            }
            Stop::Killed(sig) => {
                format!("thread {} of {}: killed by signal {sig} in the meantime", self.tid, self.pid)
            }
            other => format!("thread {} of {}: unexpected stop {other:?}", self.tid, self.pid),
        })
    }

    pub(super) fn notify_signal(&self) -> i32 {
        self.notify
    }

    fn quiet_mask(&self) -> u64 {
        let sigsys = if self.may_dispatch { 1u64 << (libc::SIGSYS - 1) } else { 0 };
        !(1u64 << (self.notify - 1) | sigsys)
    }

    /// Registers first, then the mask, and the reverse in [`Tracee::write_back`]: if the engine
    /// dies in between, the thread resumes in the stub, which restores both.
    fn disturb(&mut self, regs: &Regs) -> Result<()> {
        self.disturbed = true;
        ptrace::set_regs(self.tid, regs).context(|| format!("set registers of {}", self.tid))?;
        if !self.quiet {
            ptrace::set_sigmask(self.tid, self.quiet_mask())
                .context(|| format!("block signals of {}", self.tid))?;
            self.quiet = true;
        }
        Ok(())
    }

    /// Whether this signal stop is the stub's notification. Its siginfo cannot be used: a task at
    /// its limit of queued signals sends without one.
    fn is_done(&self, scratch: &Scratch) -> Result<bool> {
        let regs = ptrace::get_regs(self.tid).context(|| format!("read registers of {}", self.tid))?;
        Ok(regs.ip() == scratch.stub().0 + arch::stub_done())
    }

    /// Makes one borrowed system call, in two stops, and leaves the thread as it was. Only for the
    /// calls that have to be made without a scratch range: everything else is a [`Program`].
    pub fn syscall(&mut self, code: &Code, nr: i64, args: [u64; 6]) -> Result<i64> {
        let overwritten = self.enter(code, nr, args)?;
        self.leave_syscall()?;
        let regs = ptrace::get_regs(self.tid).context(|| format!("read registers of {}", self.tid))?;
        self.write_back()?;
        if let Some((at, bytes)) = overwritten {
            vm::write(self.tid, at, &bytes).context(|| format!("restore stack of {}", self.tid))?;
        }
        Ok(regs.syscall_result())
    }

    /// Lets it enter a borrowed system call. Returns what the way back overwrites until the call
    /// has returned.
    fn enter(&mut self, code: &Code, nr: i64, args: [u64; 6]) -> Result<Option<(RemoteAddr, Vec<u8>)>> {
        let mut regs = self.regs.for_syscall(code.syscall, nr, args);
        let overwritten = match &code.way_back {
            Some(way) => self.lay_way_back(&mut regs, way)?,
            None => None,
        };
        self.disturb(&regs)?;
        self.enter_syscall()?;
        Ok(overwritten)
    }

    /// Writes a signal frame to unused stack that restores the thread's current state, and makes a
    /// borrowed call return into it. Returns the bytes overwritten; `None` when there is no room.
    fn lay_way_back(&self, regs: &mut Regs, way: &WayBack) -> Result<Option<(RemoteAddr, Vec<u8>)>> {
        // A signal frame would not restore these.
        if !self.kept.is_empty() {
            return Ok(None);
        }
        let sets = arch::SIGNAL_FRAME_SETS.iter().map(|note| self.register_set(*note));
        let Some(sets) = sets.collect::<Result<Option<Vec<_>>>>()? else { return Ok(None) };
        // rt_sigreturn(2) drops the time left of a sleep: it would end with EINTR.
        let there = self.regs_to_restart().resumed();
        for room in way.rooms.iter().filter(|room| room.end > room.start) {
            let frame = arch::signal_frame(&there, self.mask, &sets, way.sigreturn, room.end);
            if let Some(overwritten) = room.fill(self.tid, &frame) {
                regs.set_return_into(frame.at, way.sigreturn);
                return Ok(Some(overwritten));
            }
        }
        Ok(None)
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// The call that failed, with its errno; *vanished* when the thread was killed.
    pub fn run(&mut self, scratch: &Scratch, program: &Program) -> Result<ProgramOutput> {
        let mut loader = Loader::new(program);
        loop {
            let batch = loader.batch(scratch.table(), scratch.room()).map_err(|what| Error::Failed {
                what: format!("pid {}: {what}", self.pid),
                source: io::Error::other("call too large for the scratch range"),
            })?;
            let Some(batch) = batch else { return Ok(loader.outcome()) };
            vm::write(self.tid, scratch.table(), &batch.image)
                .context(|| format!("load program into {}", self.pid))?;
            let left = self.execute(scratch, batch.count)?;
            let mut memory = vec![0u8; batch.image.len()];
            vm::read(self.tid, scratch.table(), &mut memory)
                .context(|| format!("read results from {}", self.pid))?;
            loader.take(&batch, &memory, left).map_err(|failure| {
                let (call, result) = *failure;
                call_failed(self.tid, &call, as_error(result))
            })?;
        }
    }

    /// Lets the stub run `count` entries; returns how many were not completed.
    fn execute(&mut self, scratch: &Scratch, count: usize) -> Result<usize> {
        let control = scratch::control_block(scratch, self, count);
        vm::write(self.tid, scratch.control(), &control)
            .context(|| format!("load control block into {}", self.pid))?;
        let regs = self.regs.for_stub(scratch.stub().0, scratch.control().0, scratch.stack_top().0);
        self.disturb(&regs)?;
        loop {
            ptrace::cont(self.tid, 0).context(|| format!("run program in {}", self.tid))?;
            match self.wait().context(|| format!("wait for {}", self.tid))? {
                Stop::Signal(sig) if sig == self.notify && self.is_done(scratch)? => break,
                Stop::Signal(
                    sig @ (libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP),
                ) => {
                    let at = ptrace::get_regs(self.tid).map_or(0, |r| r.ip());
                    return Err(Error::Failed {
                        what: format!("pid {}: remote program at {at:#x}", self.tid),
                        source: io::Error::other(format!("signal {sig}")),
                    });
                }
                Stop::Signal(sig) => self.held.push(sig),
                Stop::Interrupted | Stop::Group(_) | Stop::Event(_) => {}
                stop => return Err(self.gone(stop)),
            }
        }
        let mut left = [0u8; 8];
        vm::read(self.tid, scratch.left(), &mut left)
            .context(|| format!("read progress from {}", self.pid))?;
        Ok(u64::from_ne_bytes(left) as usize)
    }

    /// Makes the process undumpable, after which its memory is only accessible with CAP_SYS_PTRACE.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn become_undumpable(&mut self) -> Result<()> {
        let args = [libc::PR_SET_DUMPABLE as u64, 0, 0, 0, 0, 0];
        match self.syscall(&Code::find(self.tid)?, libc::SYS_prctl, args)? {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(-errno as i32))
                .context(|| format!("make {} undumpable", self.pid)),
        }
    }

    /// Makes the process exit with `status` (wait(2)): by exit_group(2) or a signal's default
    /// action.
    ///
    /// # Errors
    /// When it exits otherwise or not at all.
    pub fn end(&mut self, scratch: &Scratch, status: i32) -> Result<()> {
        let killed_by = status & 0x7f;
        if killed_by == 0 {
            let mut program = Program::new();
            program.call_ok(libc::SYS_exit_group, &[((status >> 8) & 0xff).into()], "exit");
            match self.run(scratch, &program) {
                Err(Error::Vanished(_)) => return Ok(()),
                Err(other) => return Err(other),
                Ok(_) => {}
            }
        } else {
            ptrace::set_sigmask(self.tid, 0).context(|| format!("unblock signals of {}", self.tid))?;
            crate::sys::task::tgkill(self.pid, self.tid, killed_by)
                .context(|| format!("kill {}", self.tid))?;
            let mut deliver = 0;
            loop {
                // After SIGKILL there may be nothing left to continue.
                let continued = ptrace::cont(self.tid, deliver);
                match self.wait().context(|| format!("wait for the end of {}", self.tid))? {
                    Stop::Killed(sig) if sig == killed_by => return Ok(()),
                    Stop::Signal(sig) => deliver = sig,
                    Stop::Interrupted | Stop::Group(_) => deliver = 0,
                    stop => {
                        continued.context(|| format!("continue {}", self.tid))?;
                        return Err(self.gone(stop));
                    }
                }
            }
        }
        let source = io::Error::other("the process is still running");
        Err(Error::Failed { what: format!("end process {} with status {status:#x}", self.pid), source })
    }

    /// Makes a leader exit with `status` (wait(2)), while the other threads of its process stay.
    /// Its parent could not wait for the process as long as a tracer, which is told first, has not:
    /// it is not traced any more. `options` are those of ptrace(2) that it has.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn exit_alone(mut self, options: i32, status: i32) -> Result<()> {
        ptrace::set_options(self.tid, options | ptrace::TRACEEXIT)
            .context(|| format!("set options of {}", self.tid))?;
        let args = [(status >> 8 & 0xff) as u64, 0, 0, 0, 0, 0];
        let regs = self.regs.for_syscall(Code::find(self.tid)?.syscall, libc::SYS_exit, args);
        self.disturb(&regs)?;
        loop {
            ptrace::cont(self.tid, 0).context(|| format!("continue {}", self.tid))?;
            match self.wait().context(|| format!("wait for the end of {}", self.tid))? {
                Stop::Event(libc::PTRACE_EVENT_EXIT) => break,
                Stop::Signal(sig) => self.held.push(sig),
                Stop::Interrupted | Stop::Group(_) => {}
                stop => return Err(self.gone(stop)),
            }
        }
        // For whichever of the others takes them.
        for sig in std::mem::take(&mut self.held) {
            crate::sys::guard::kill(self.pid, sig).context(|| format!("signal {sig} to {}", self.pid))?;
        }
        ptrace::detach(self.tid).context(|| format!("detach from {}", self.tid))?;
        wait::await_end_of_leader(self.pid);
        Ok(())
    }

    /// Stops the process by a stop signal; its other threads have to join the group stop
    /// afterwards.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn enter_group_stop(&mut self, signal: i32) -> Result<()> {
        ptrace::set_sigmask(self.tid, !(1u64 << (signal - 1)))
            .context(|| format!("unblock signal {signal} of {}", self.tid))?;
        self.disturbed = true;
        crate::sys::task::tgkill(self.pid, self.tid, signal).context(|| format!("stop {}", self.tid))?;
        let mut deliver = 0;
        loop {
            ptrace::cont(self.tid, deliver).context(|| format!("continue {}", self.tid))?;
            match self.wait().context(|| format!("wait for the stop of {}", self.tid))? {
                Stop::Group(_) => break,
                Stop::Signal(sig) if sig == signal => deliver = sig,
                Stop::Signal(sig) => {
                    self.held.push(sig);
                    deliver = 0;
                }
                Stop::Interrupted => deliver = 0,
                stop => return Err(self.gone(stop)),
            }
        }
        ptrace::set_sigmask(self.tid, self.quiet_mask()).context(|| format!("block signals of {}", self.tid))
    }

    /// Ends the group stop of the process, which its parent is notified of.
    ///
    /// # Errors
    /// When it does not continue.
    pub fn leave_group_stop(&mut self) -> Result<()> {
        ptrace::set_sigmask(self.tid, !(1u64 << (libc::SIGCONT - 1)))
            .context(|| format!("unblock SIGCONT of {}", self.tid))?;
        self.disturbed = true;
        crate::sys::guard::kill(self.pid, libc::SIGCONT).context(|| format!("continue {}", self.pid))?;
        loop {
            ptrace::cont(self.tid, 0).context(|| format!("continue {}", self.tid))?;
            match self.wait().context(|| format!("wait for {} to resume", self.tid))? {
                // SIGCONT is not delivered: the process has already continued.
                Stop::Signal(libc::SIGCONT) => break,
                Stop::Signal(sig) => self.held.push(sig),
                Stop::Interrupted | Stop::Group(_) => {}
                stop => return Err(self.gone(stop)),
            }
        }
        ptrace::set_sigmask(self.tid, self.quiet_mask()).context(|| format!("block signals of {}", self.tid))
    }

    /// Lets a thread join a group stop that another has begun; the parent is notified when all have
    /// joined.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn join_group_stop(&mut self) -> Result<()> {
        loop {
            ptrace::cont(self.tid, 0).context(|| format!("continue {}", self.tid))?;
            match self.wait().context(|| format!("wait for the stop of {}", self.tid))? {
                Stop::Group(_) => return Ok(()),
                Stop::Signal(sig) => self.held.push(sig),
                Stop::Interrupted => {}
                stop => return Err(self.gone(stop)),
            }
        }
    }

    /// Writes registers and mask to the kernel, so that the thread resumes with `regs` and `mask`
    /// and continues an interrupted system call.
    pub fn write_back(&mut self) -> Result<()> {
        if self.disturbed {
            ptrace::set_sigmask(self.tid, self.mask)
                .context(|| format!("restore signal mask of {}", self.tid))?;
            for (note, data) in &self.kept {
                ptrace::set_regset(self.tid, *note, data)
                    .context(|| format!("restore register set {note:#x} of {}", self.tid))?;
            }
            ptrace::set_regs(self.tid, &self.regs_to_continue())
                .context(|| format!("restore registers of {}", self.tid))?;
            (self.disturbed, self.quiet) = (false, false);
        }
        Ok(())
    }

    /// Registers that resume *this* task in its interrupted call: nothing is lost, because the
    /// task's restart block still has the remaining time (`restart_syscall`).
    pub fn regs_to_continue(&self) -> Regs {
        if self.time_left { self.regs.with_time_left() } else { resumed(&self.regs, true) }
    }

    /// Registers for a restarted thread: an interrupted system call is restarted from the
    /// beginning.
    pub fn regs_to_restart(&self) -> Regs {
        regs_to_restart(self.tid, &self.regs, self.time_left)
    }

    /// Notes that the thread was changed other than by [`Tracee::run`], so that
    /// [`Tracee::write_back`] writes everything.
    pub fn mark_disturbed(&mut self) {
        self.disturbed = true;
    }

    /// Restores the thread's state, resends the held signals and detaches.
    pub fn detach(mut self) -> Result<()> {
        self.write_back()?;
        for sig in std::mem::take(&mut self.held) {
            crate::sys::task::tgkill(self.pid, self.tid, sig)
                .context(|| format!("signal {sig} to {}", self.tid))?;
        }
        ptrace::detach(self.tid).context(|| format!("detach from {}", self.tid))
    }
}

/// Why this result of a call ends a program; `None` if it does not.
pub(super) fn refusal(call: &Call, result: i64) -> Option<io::Error> {
    let refused = match call.expect {
        Expect::Any => false,
        Expect::Success => (-4095..0).contains(&result),
        Expect::Value(value) => result as u64 != value,
    };
    refused.then(|| as_error(result))
}

fn as_error(result: i64) -> io::Error {
    match result {
        -4095..0 => io::Error::from_raw_os_error(-result as i32),
        value => io::Error::other(format!("unexpected result {value:#x}")),
    }
}

/// The error for a failed call of a program in thread `tid`.
pub(super) fn call_failed(tid: Tid, call: &Call, source: io::Error) -> Error {
    let what = format!("pid {tid}: {}", call.what);
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::Denied { what, source },
        _ => Error::Failed { what, source },
    }
}

/// Registers for a restarted thread `tid` that had `regs`. `time_left`: it was interrupted in a
/// call with time left, which they do not show.
pub(super) fn regs_to_restart(tid: Tid, regs: &Regs, time_left: bool) -> Regs {
    let continued = match regs.interrupted_syscall() {
        Some(call) => call.nr == arch::SYS_RESTART_SYSCALL,
        None => time_left && regs.syscall_number() == arch::SYS_RESTART_SYSCALL,
    };
    let own = if continued { sleep::own_number(tid, regs) } else { None };
    own.map_or_else(|| resumed(regs, false), |nr| regs.repeating(nr))
}

/// Registers that resume a thread after a stop, with its interrupted system call restarted. With
/// `same_task` the interrupted task itself resumes and can use restart_syscall(2); a restarted one
/// begins the wait anew with its original arguments.
fn resumed(regs: &Regs, same_task: bool) -> Regs {
    use arch::InterruptedKind::{Again, Eintr, RestartBlock};
    match regs.interrupted_syscall() {
        None => regs.outside_syscall(),
        Some(call) => match call.kind {
            Again => regs.left_to_kernel(&call),
            RestartBlock if same_task => regs.left_to_kernel(&call),
            RestartBlock => regs.repeating(call.nr),
            Eintr if arch::repeatable_after_eintr(call.nr) => regs.repeating(call.nr),
            Eintr => regs.outside_syscall(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::{maps, stat::Brief};
    use crate::sys::{clone, page_size, task};

    fn stack(pid: i32) -> std::ops::Range<u64> {
        let text = std::fs::read(format!("/proc/{pid}/maps")).unwrap();
        let stack = maps::parse(&text).find(|mapping| mapping.printed == b"[stack]").unwrap();
        stack.start..stack.end
    }

    /// Waits until it sleeps.
    fn await_sleep(pid: i32) {
        while Brief::of_thread(pid, pid).unwrap().state != 'S' {
            std::thread::yield_now();
        }
    }

    /// It runs on the stack of a thread, and no page of the initial stack is free.
    fn with_a_full_stack() -> Tracee {
        let pid = clone::fork_sleeper(None, 0).unwrap();
        await_sleep(pid);
        let tracee = Tracee::seize(pid, ptrace::SYSGOOD, 0).unwrap();
        let stack = stack(pid);
        for page in (stack.start..stack.end).step_by(page_size() as usize) {
            vm::write(pid, RemoteAddr(page), &[1; 64]).unwrap();
        }
        tracee
    }

    #[test]
    fn a_thread_whose_stack_is_full_finds_its_way_back_alone() {
        let mut tracee = with_a_full_stack();
        let (pid, mask) = (tracee.pid, tracee.mask);
        let (regs, before) = (tracee.regs, stack(pid));
        let code = Code::find_with_way_back(pid, regs.sp()).unwrap();
        assert!(code.way_back.is_some(), "the C library has the code");
        assert_eq!(tracee.syscall(&code, libc::SYS_getpid, [0; 6]).unwrap(), i64::from(pid));
        let grown = stack(pid);
        assert!(grown.start < before.start, "a frame was laid below the stack");
        assert!(tracee.enter(&code, libc::SYS_getpid, [0; 6]).unwrap().is_some());
        // As when its tracer dies.
        ptrace::detach(pid).unwrap();
        await_sleep(pid);
        let again = Tracee::seize(pid, ptrace::SYSGOOD | ptrace::EXITKILL, 0).unwrap();
        assert_eq!((again.regs.resumed(), again.mask), (regs.resumed(), mask));
        let code = Code::find_with_way_back(pid, regs.sp()).unwrap();
        let room = code.way_back.unwrap().rooms[0];
        assert_eq!(room.start..room.end, grown.start..before.start, "the old frame is known");
        task::tgkill(pid, pid, libc::SIGKILL).unwrap();
    }
}
