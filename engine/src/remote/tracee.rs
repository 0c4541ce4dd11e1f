//! One seized thread: its registers and mask as we found them, and the two ways to make it do
//! something.

use super::code::{Code, WayBack};
use super::program::{Call, Expect, Loader, Outcome, Program};
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

/// Signals that do nothing to a task that neither handles them nor is traced; one of them tells us
/// that a program has ended.
const QUIET_SIGNALS: [i32; 3] = [libc::SIGWINCH, libc::SIGURG, libc::SIGCHLD];

/// A thread in a ptrace stop.
#[derive(Debug)]
pub struct Tracee {
    /// Its thread group.
    pub pid: i32,
    /// Itself.
    pub tid: Tid,
    /// Registers to go on with.
    pub regs: Regs,
    /// Blocked signals to go on with.
    pub mask: u64,
    /// In a group stop by this signal.
    pub group_stop: Option<i32>,
    /// Signals that arrived while a program ran and were not delivered.
    held: Vec<i32>,
    /// The registers or the mask in the kernel are not those above.
    disturbed: bool,
    /// Everything but the notification is blocked.
    quiet: bool,
    notify: i32,
    /// SIGSYS is not pending.
    without_sigsys: bool,
    /// Its system calls may come back as SIGSYS, and nobody tells: that must not be blocked, for
    /// forced upon the thread it would lose its handler (kernel/signal.c,
    /// `force_sig_info_to_task`).
    may_dispatch: bool,
    /// Register sets that system calls change, as they were at the stop: note type and contents.
    kept: Vec<(u32, Vec<u8>)>,
    /// Interrupted in a call with time left, which the registers do not show.
    time_left: bool,
}

impl Tracee {
    /// Takes over a thread that is in a ptrace stop now. `pending` is the set of its pending
    /// signals.
    pub fn adopt(pid: i32, tid: Tid, group_stop: Option<i32>, pending: u64) -> Result<Self> {
        let regs = match ptrace::get_regs(tid) {
            Err(err) if err.kind() == io::ErrorKind::Unsupported => {
                return Err(Error::unsupported(format!(
                    "pid {pid}: thread {tid} runs 32-bit code; only programs of 64 bits can be saved"
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

    /// Saves what the first system call that we make here would lose. For a thread of a running
    /// program, not for one that was just created. `blocked` is the call that it was seen in before
    /// the stop.
    ///
    /// # Errors
    /// *vanished* when the thread died.
    pub fn look_closer(&mut self, blocked: Option<Blocked>) -> Result<()> {
        if blocked.is_some_and(|call| arch::repeatable_after_eintr(call.nr) && self.regs.undo_eintr(&call)) {
            self.disturbed = true;
        }
        self.may_dispatch =
            arch::DISPATCHES_SYSCALLS && self.without_sigsys && !ptrace::tells_dispatch(self.tid);
        // A stop has made such a call fail, which is made again: also when nothing of ours runs
        // here.
        let failed = self.regs.interrupted_syscall().filter(|call| call.kind == arch::InterruptedKind::Eintr);
        if failed.is_some_and(|call| arch::repeatable_after_eintr(call.nr)) {
            self.disturbed = true;
        }
        for note in arch::LOST_IN_SYSCALLS {
            if let Some(data) = self.register_set(*note)?.filter(|data| arch::is_live(*note, data)) {
                self.kept.push((*note, data));
            }
        }
        if self.regs.may_hide_time_left() && self.is_at_syscall() {
            self.find_time_left()?;
        }
        Ok(())
    }

    fn is_at_syscall(&self) -> bool {
        let mut code = [0u8; arch::SYSCALL_INSN.len()];
        // What cannot be read is no instruction.
        vm::read(self.pid, RemoteAddr(self.regs.ip()), &mut code).is_ok() && code == *arch::SYSCALL_INSN
    }

    /// Where the registers do not show whether an interrupted call has time left, the kernel does:
    /// let go until its next system call, the thread enters restart_syscall(2) if so. That call, or
    /// whichever it is, is not made.
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

    /// Lets the thread go on to the next entry of a system call.
    fn enter_syscall(&mut self) -> Result<()> {
        loop {
            ptrace::cont_to_syscall(self.tid).context(|| format!("step {}", self.tid))?;
            match wait::wait(self.tid).context(|| format!("wait for {}", self.tid))? {
                Stop::Syscall => return Ok(()),
                Stop::Interrupted | Stop::Group(_) => {}
                // Linux 5.11 to 6.3 tell no tracer of that: a call of ours was sent back as a
                // signal (kernel/entry/syscall_user_dispatch.c).
                Stop::Signal(libc::SIGSYS) if ptrace::is_dispatched_call(self.tid) => {
                    return Err(Error::unsupported(format!(
                        "pid {}: thread {} has its system calls dispatched to itself (PR_SET_SYSCALL_USER_DISPATCH)",
                        self.pid, self.tid
                    )));
                }
                Stop::Signal(sig) => self.held.push(sig),
                stop => return Err(self.gone(stop)),
            }
        }
    }

    /// From the entry of a system call to a stop before the thread's next instruction. Not the exit
    /// stop: at those of system calls arm64 has one register for its own
    /// (arch/arm64/kernel/ptrace.c, `report_syscall`).
    fn leave_syscall(&mut self) -> Result<()> {
        loop {
            // A signal stop uses it up.
            ptrace::interrupt(self.tid).context(|| format!("interrupt {}", self.tid))?;
            ptrace::cont(self.tid, 0).context(|| format!("continue {}", self.tid))?;
            match wait::wait(self.tid).context(|| format!("wait for {}", self.tid))? {
                Stop::Interrupted | Stop::Group(_) => return Ok(()),
                Stop::Signal(sig) => self.held.push(sig),
                stop => return Err(self.gone(stop)),
            }
        }
    }

    /// A register set as it was at the stop; nothing where there is none.
    ///
    /// # Errors
    /// What ptrace says.
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
    /// What ptrace says.
    pub fn thread_pointer(&self) -> Result<u64> {
        let tls = arch::TLS_SET.map_or(Ok(None), |note| self.register_set(note))?;
        Ok(self.regs.thread_pointer(tls.as_deref().unwrap_or_default()))
    }

    fn gone(&self, stop: Stop) -> Error {
        Error::Vanished(match stop {
            Stop::Exited(code) => {
                format!("thread {} of {}: exited with {code} meanwhile", self.tid, self.pid)
            }
            Stop::Killed(sig) => {
                format!("thread {} of {}: killed by signal {sig} meanwhile", self.tid, self.pid)
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

    /// Registers first, then the mask, and the other way round in [`Tracee::write_back`]: should we
    /// die between the two, the stub, in which the thread then goes on, sets both as they were.
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

    /// Whether the signal stop that we are in is the stub's own message. Its siginfo would not
    /// tell: a task that has used up its limit of queued signals sends without.
    fn is_done(&self, scratch: &Scratch) -> Result<bool> {
        let regs = ptrace::get_regs(self.tid).context(|| format!("read registers of {}", self.tid))?;
        Ok(regs.ip() == scratch.stub().0 + arch::stub_done())
    }

    /// Makes one borrowed system call, by two stops. For the calls without which there is no
    /// scratch range: everything else is a [`Program`]. The thread is left as it was.
    pub fn syscall(&mut self, code: &Code, nr: i64, args: [u64; 6]) -> Result<i64> {
        let mut regs = self.regs.for_syscall(code.syscall, nr, args);
        let overwritten = match &code.way_back {
            Some(way) => self.lay_way_back(&mut regs, way)?,
            None => None,
        };
        self.disturb(&regs)?;
        self.enter_syscall()?;
        self.leave_syscall()?;
        let regs = ptrace::get_regs(self.tid).context(|| format!("read registers of {}", self.tid))?;
        self.write_back()?;
        if let Some((at, bytes)) = overwritten {
            vm::write(self.pid, at, &bytes).context(|| format!("restore stack of {}", self.tid))?;
        }
        Ok(regs.syscall_result())
    }

    /// Puts a frame where nobody has anything that leads back to where the thread is now, and makes
    /// the registers of a borrowed call return into it. Returns what was there; nothing when there
    /// is no room.
    fn lay_way_back(&self, regs: &mut Regs, way: &WayBack) -> Result<Option<(RemoteAddr, Vec<u8>)>> {
        // A frame would not bring these back.
        if !self.kept.is_empty() {
            return Ok(None);
        }
        let sets = arch::SIGNAL_FRAME_SETS.iter().map(|note| self.register_set(*note));
        let Some(sets) = sets.collect::<Result<Option<Vec<_>>>>()? else { return Ok(None) };
        let there = self.regs_to_continue().gone_on();
        let frames = way
            .rooms
            .iter()
            .filter(|room| room.end - room.start > arch::LARGEST_FRAME)
            .map(|room| (room, arch::signal_frame(&there, self.mask, &sets, way.sigreturn, room.end)));
        let mut fitting = frames.filter(|(room, frame)| frame.at >= room.start);
        let Some((room, frame)) = fitting.next() else { return Ok(None) };
        let unused = std::ptr::eq(room, &way.rooms[0]);
        let (at, bytes) =
            if unused { room.marked(frame.at, &frame.bytes) } else { (frame.at, frame.bytes.clone()) };
        let mut before = vec![0u8; bytes.len()];
        let there = vm::read(self.pid, RemoteAddr(at), &mut before)
            .and_then(|()| vm::write(self.pid, RemoteAddr(at), &bytes));
        if there.is_err() {
            return Ok(None);
        }
        regs.set_return_into(frame.at, way.sigreturn);
        Ok(Some((RemoteAddr(at), before)))
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// The call that failed, with its errno; *vanished* when the thread died.
    pub fn run(&mut self, scratch: &Scratch, program: &Program) -> Result<Outcome> {
        let mut loader = Loader::new(program);
        loop {
            let batch = loader.batch(scratch.table(), scratch.room()).map_err(|what| Error::Failed {
                what: format!("pid {}: {what}", self.pid),
                source: io::Error::other("call too large for the scratch range"),
            })?;
            let Some(batch) = batch else { return Ok(loader.outcome()) };
            vm::write(self.pid, scratch.table(), &batch.image)
                .context(|| format!("load program into {}", self.pid))?;
            let left = self.execute(scratch, batch.count)?;
            let mut memory = vec![0u8; batch.image.len()];
            vm::read(self.pid, scratch.table(), &mut memory)
                .context(|| format!("read results from {}", self.pid))?;
            loader.take(&batch, &memory, left).map_err(|failure| {
                let (call, result) = *failure;
                call_failed(self.tid, &call, as_error(result))
            })?;
        }
    }

    /// Lets the stub run over `count` entries; returns how many were left undone.
    fn execute(&mut self, scratch: &Scratch, count: usize) -> Result<usize> {
        let control = scratch::control_block(scratch, self, count);
        vm::write(self.pid, scratch.control(), &control)
            .context(|| format!("load control block into {}", self.pid))?;
        let regs = self.regs.for_stub(scratch.stub().0, scratch.control().0, scratch.stack_top().0);
        self.disturb(&regs)?;
        loop {
            ptrace::cont(self.tid, 0).context(|| format!("run program in {}", self.tid))?;
            match wait::wait(self.tid).context(|| format!("wait for {}", self.tid))? {
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
        vm::read(self.pid, scratch.left(), &mut left)
            .context(|| format!("read progress from {}", self.pid))?;
        Ok(u64::from_ne_bytes(left) as usize)
    }

    /// Makes the process undumpable, after which who has no CAP_SYS_PTRACE reads none of its memory
    /// any more.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn become_undumpable(&mut self) -> Result<()> {
        let args = [libc::PR_SET_DUMPABLE as u64, 0, 0, 0, 0, 0];
        match self.syscall(&Code::find(self.pid)?, libc::SYS_prctl, args)? {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(-errno as i32))
                .context(|| format!("make {} undumpable", self.pid)),
        }
    }

    /// Ends the process as `status` (wait(2)) says: by exit_group(2) or by a signal's default
    /// action.
    ///
    /// # Errors
    /// When it ends otherwise.
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
                match wait::wait(self.tid).context(|| format!("wait for the end of {}", self.tid))? {
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
        let source = io::Error::other("the process goes on");
        Err(Error::Failed { what: format!("end process {} with status {status:#x}", self.pid), source })
    }

    /// Brings the process into a group stop by a stop signal; its other threads are to join then.
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
            match wait::wait(self.tid).context(|| format!("wait for the stop of {}", self.tid))? {
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

    /// Ends the group stop of the process, which its parent is told.
    ///
    /// # Errors
    /// When it does not go on.
    pub fn leave_group_stop(&mut self) -> Result<()> {
        ptrace::set_sigmask(self.tid, !(1u64 << (libc::SIGCONT - 1)))
            .context(|| format!("unblock SIGCONT of {}", self.tid))?;
        self.disturbed = true;
        crate::sys::guard::kill(self.pid, libc::SIGCONT).context(|| format!("continue {}", self.pid))?;
        loop {
            ptrace::cont(self.tid, 0).context(|| format!("continue {}", self.tid))?;
            match wait::wait(self.tid).context(|| format!("wait for {} to go on", self.tid))? {
                // It is not delivered: the process has handled it already.
                Stop::Signal(libc::SIGCONT) => break,
                Stop::Signal(sig) => self.held.push(sig),
                Stop::Interrupted | Stop::Group(_) => {}
                stop => return Err(self.gone(stop)),
            }
        }
        ptrace::set_sigmask(self.tid, self.quiet_mask()).context(|| format!("block signals of {}", self.tid))
    }

    /// Lets a thread take part in a group stop that another one has begun; its parent is told when
    /// all have.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn join_group_stop(&mut self) -> Result<()> {
        loop {
            ptrace::cont(self.tid, 0).context(|| format!("continue {}", self.tid))?;
            match wait::wait(self.tid).context(|| format!("wait for the stop of {}", self.tid))? {
                Stop::Group(_) => return Ok(()),
                Stop::Signal(sig) => self.held.push(sig),
                Stop::Interrupted => {}
                stop => return Err(self.gone(stop)),
            }
        }
    }

    /// Puts registers and mask into the kernel, so that the thread goes on as `regs` and `mask`
    /// say, and with an interrupted system call.
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

    /// Registers that go on with the interrupted call of *this* task: nothing is lost, because the
    /// task still has the time that was left (`restart_syscall`).
    pub fn regs_to_continue(&self) -> Regs {
        if self.time_left { self.regs.with_time_left() } else { resumed(&self.regs, true) }
    }

    /// Registers with which a restarted thread goes on: an interrupted call is made again, from its
    /// beginning.
    pub fn regs_to_restart(&self) -> Regs {
        regs_to_restart(self.pid, &self.regs, self.time_left)
    }

    /// Notes that the thread was changed from outside [`Tracee::run`], so that
    /// [`Tracee::write_back`] writes everything.
    pub fn mark_disturbed(&mut self) {
        self.disturbed = true;
    }

    /// Settles, sends the held signals once more and lets go.
    pub fn detach(mut self) -> Result<()> {
        self.write_back()?;
        for sig in std::mem::take(&mut self.held) {
            crate::sys::task::tgkill(self.pid, self.tid, sig)
                .context(|| format!("signal {sig} to {}", self.tid))?;
        }
        ptrace::detach(self.tid).context(|| format!("detach from {}", self.tid))
    }
}

/// Why a program does not go on after a call with this result.
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

/// A call of a program for thread `tid` that was refused.
pub(super) fn call_failed(tid: Tid, call: &Call, source: io::Error) -> Error {
    let what = format!("pid {tid}: {}", call.what);
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::Denied { what, source },
        _ => Error::Failed { what, source },
    }
}

/// Registers with which a restarted thread goes on that had these. `time_left`: it was interrupted
/// in a call with time left, which they do not show.
pub(super) fn regs_to_restart(pid: i32, regs: &Regs, time_left: bool) -> Regs {
    let continued = match regs.interrupted_syscall() {
        Some(call) => call.nr == arch::SYS_RESTART_SYSCALL,
        None => time_left && regs.syscall_number() == arch::SYS_RESTART_SYSCALL,
    };
    let own = if continued { sleep::own_number(pid, regs) } else { None };
    own.map_or_else(|| resumed(regs, false), |nr| regs.repeating(nr))
}

/// Registers with which a thread goes on after a stop, its interrupted system call made again.
/// `same_task`: the task that was interrupted goes on itself and can use restart_syscall(2); a
/// restarted one begins the wait anew with the arguments it gave.
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
