//! A thread held by the kernel module: what the module reports of it, and the results of programs
//! that are not run.
//!
//! A program of queries is a table of system calls. A traced thread makes them; here the module
//! knows what each of them would return, so that both ways yield the same results in the same form.

use super::program::{Answer, Arg, Call, Program, ProgramOutput};
use super::tracee;
use crate::arch::{self, Regs};
use crate::error::{Context, Error, Result};
use crate::resource::thread::control::KEYCTL_SET_REQKEY_KEYRING;
use crate::resource::thread::keyring;
use crate::sys::kmod::{self, Device};
use crate::sys::{PR_GET_TID_ADDRESS, ptrace};
use std::cell::OnceCell;
use std::fmt::Display;
use std::io;
use std::mem::size_of;
use std::sync::Arc;

/// include/uapi/linux/membarrier.h, since Linux 6.3; the module reports it on older kernels, too.
const MEMBARRIER_CMD_GET_REGISTRATIONS: u64 = 1 << 9;
// include/uapi/linux/prctl.h: kinds of speculation, and options of Linux 6.3, 6.4 and 7.0.
const PR_GET_SPECULATION_CTRL: i32 = 52;
const PR_SPEC_STORE_BYPASS: u64 = 0;
const PR_SPEC_INDIRECT_BRANCH: u64 = 1;
const PR_SPEC_L1D_FLUSH: u64 = 2;
const PR_GET_MDWE: i32 = 66;
const PR_GET_MEMORY_MERGE: i32 = 68;
const PR_RSEQ_SLICE_EXTENSION: i32 = 79;
const PR_RSEQ_SLICE_EXTENSION_GET: u64 = 1;

/// A thread in the module, or stopped by a signal or a tracer with the module waiting for it.
#[derive(Debug)]
pub struct ModuleThread {
    /// Its thread group id.
    pub pid: i32,
    /// Its thread id.
    pub tid: i32,
    /// Current registers.
    pub regs: Regs,
    /// What the module reports of it.
    pub told: kmod::Thread,
    device: Arc<Device>,
}

impl ModuleThread {
    /// Reads a thread of a process that `device` holds; `None` when it has exited.
    ///
    /// # Errors
    /// What the module reports.
    pub fn look(device: &Arc<Device>, pid: i32, tid: i32) -> Result<Option<Self>> {
        let thread = match device.thread(tid) {
            Err(err) if err.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            other => told(other, tid, || format!("inspect thread {tid} of {pid}"))?,
        };
        let mut buf = vec![0u8; size_of::<Regs>()];
        let note = libc::NT_PRSTATUS as u32;
        let len = told(device.regset(tid, note, &mut buf), tid, || format!("read registers of {tid}"))?;
        let regs = ptrace::regs_of(&buf[..len]).context(|| format!("read registers of {tid}"))?;
        Ok(Some(ModuleThread { pid, tid, regs, told: thread, device: Arc::clone(device) }))
    }

    /// The signal of the group stop that it is in.
    pub fn group_stop(&self) -> Option<i32> {
        (self.told.stop_signal != 0).then_some(self.told.stop_signal as i32)
    }

    /// A register set by its ELF note type; `None` where it does not exist.
    ///
    /// # Errors
    /// What the module reports.
    pub fn register_set(&self, note: u32) -> Result<Option<Vec<u8>>> {
        let set = ptrace::set_if_there(|data| self.device.regset(self.tid, note, data));
        told(set, self.tid, || format!("read register set {note:#x} of {}", self.tid))
    }

    /// The queued signals of the thread or, if `shared`, of its process.
    ///
    /// # Errors
    /// What the module reports.
    pub fn queue(&self, shared: bool) -> Result<Vec<[u8; ptrace::SIGINFO_SIZE]>> {
        let queue = self.device.pending(self.tid, shared);
        told(queue, self.tid, || format!("read pending signals of {}", self.tid))
    }

    /// The state that the threads of its process share.
    ///
    /// # Errors
    /// What the module reports.
    pub fn process(&self) -> Result<kmod::Process> {
        self.process_of(self.pid)
    }

    fn process_of(&self, pid: i32) -> Result<kmod::Process> {
        told(self.device.process(pid), pid, || format!("inspect process {pid}"))
    }

    /// Registers for a restarted thread: an interrupted system call is restarted from the
    /// beginning.
    pub fn regs_to_restart(&self) -> Regs {
        tracee::regs_to_restart(self.tid, &self.regs, false)
    }

    /// Evaluates every call of a program.
    ///
    /// # Errors
    /// A call that must not fail and would; *unsupported* for a query that the module does not
    /// implement.
    pub fn answer(&self, program: &Program) -> Result<ProgramOutput> {
        let known = Known { held: self, process: OnceCell::new(), actions: OnceCell::new() };
        program.answered(|call| {
            let answer = known.answer(call)?;
            match tracee::refusal(call, answer.result) {
                Some(source) => Err(tracee::call_failed(self.tid, call, source)),
                None => Ok(answer),
            }
        })
    }
}

/// Adds context to a result of the module. ESTALE: a thread that was stopped by a signal or a
/// tracer was resumed while held; it has taken signals, so what was read before is out of date.
///
/// # Errors
/// What the module reports; *unsupported*, but worth a retry, for ESTALE.
pub fn told<T, D: Display>(result: io::Result<T>, pid: i32, what: impl FnOnce() -> D) -> Result<T> {
    match result {
        Err(err) if err.raw_os_error() == Some(libc::ESTALE) => {
            Err(Error::unsupported_now(format!("pid {pid}: was stopped and is being resumed; try again")))
        }
        other => other.context(what),
    }
}

/// A held thread with what has been read from the module so far.
struct Known<'a> {
    held: &'a ModuleThread,
    process: OnceCell<kmod::Process>,
    actions: OnceCell<Vec<kmod::Action>>,
}

/// An immediate argument; 0 for an address in the program.
fn immediate(call: &Call, at: usize) -> u64 {
    if let Arg::Imm(value) = call.args[at] { value } else { 0 }
}

/// The result of a call that writes nothing.
fn number(result: impl TryInto<i64>) -> Answer {
    Answer { result: result.try_into().unwrap_or(i64::MAX), written: None }
}

/// A call that fails with an errno.
fn errno(errno: i32) -> Answer {
    number(-i64::from(errno))
}

/// A return value reported by the module, in which EOPNOTSUPP stands for a call or option that the
/// kernel does not have.
fn told_number(result: i32) -> Answer {
    if result == -libc::EOPNOTSUPP { errno(libc::ENOSYS) } else { number(result) }
}

/// Words that a call writes to the address in an argument.
fn words<const N: usize>(argument: usize, words: [u64; N]) -> Answer {
    bytes(argument, words.iter().flat_map(|word| word.to_ne_bytes()).collect())
}

fn bytes(argument: usize, bytes: Vec<u8>) -> Answer {
    Answer { result: 0, written: Some((argument, bytes)) }
}

impl Known<'_> {
    fn process(&self) -> Result<&kmod::Process> {
        match self.process.get() {
            Some(process) => Ok(process),
            None => {
                let process = self.held.process()?;
                Ok(self.process.get_or_init(|| process))
            }
        }
    }

    fn action(&self, signal: u64) -> Result<kmod::Action> {
        let actions = match self.actions.get() {
            Some(actions) => actions,
            None => {
                let pid = self.held.pid;
                let actions = self.held.device.actions(pid);
                let actions = told(actions, pid, || format!("read signal actions of {pid}"))?;
                self.actions.get_or_init(|| actions)
            }
        };
        Ok(actions[signal as usize - 1])
    }

    fn answer(&self, call: &Call) -> Result<Answer> {
        let argument = |at: usize| immediate(call, at);
        let told = &self.held.told;
        Ok(match call.nr {
            libc::SYS_prctl => return self.prctl(call, argument(0) as i32),
            libc::SYS_sigaltstack => {
                words(1, [told.altstack_sp, told.altstack_flags.into(), told.altstack_size])
            }
            libc::SYS_rt_sigaction => {
                let action = self.action(argument(0))?;
                words(2, [action.handler, action.flags, action.restorer, action.mask])
            }
            libc::SYS_getitimer => {
                let process = self.process()?;
                let (value, interval) = match argument(0) as i32 {
                    0 => (process.real_value, process.real_interval),
                    1 => (process.virt_value, process.virt_interval),
                    _ => (process.prof_value, process.prof_interval),
                };
                spec(value, interval, 1000)
            }
            libc::SYS_prlimit64 => {
                let (process, resource) = (self.process()?, argument(1) as usize);
                words(3, [process.rlim_cur[resource], process.rlim_max[resource]])
            }
            libc::SYS_timer_gettime => {
                let timer = self.timer(argument(0) as i32)?;
                spec(timer.value, timer.interval, 1)
            }
            libc::SYS_brk => number(self.process()?.brk),
            // Whether a key is allocated; see `resource::mm::pkey`.
            arch::SYS_PKEY_MPROTECT => {
                let allocated = self.process()?.pkeys & 1 << argument(3) != 0;
                errno(if allocated { libc::ENOMEM } else { libc::EINVAL })
            }
            // Whether a child has a stop or continue event left to wait for.
            libc::SYS_waitid => {
                let (child, flags) = (argument(1) as i32, argument(3) as i32);
                let report = self.held.process_of(child)?;
                let stopped = flags & libc::WSTOPPED != 0 && report.stop_report != 0;
                let goes_on = flags & libc::WCONTINUED != 0 && report.continue_report != 0;
                let signal = if stopped || goes_on { libc::SIGCHLD } else { 0 };
                bytes(2, signal.to_ne_bytes().to_vec())
            }
            libc::SYS_membarrier if argument(0) == MEMBARRIER_CMD_GET_REGISTRATIONS => {
                told_number(self.process()?.membarrier)
            }
            libc::SYS_keyctl => match (argument(0) as i32, argument(1) as i32) {
                (keyring::KEYCTL_READ, keyring::KEY_SPEC_THREAD_KEYRING) => told_number(told.thread_keys),
                (keyring::KEYCTL_READ, keyring::KEY_SPEC_PROCESS_KEYRING) => told_number(told.process_keys),
                (KEYCTL_SET_REQKEY_KEYRING, -1) => told_number(told.requested_keys),
                _ => return Err(self.unanswered(call)),
            },
            libc::SYS_get_mempolicy => return self.policy(call, argument(3), argument(4)),
            nr if Some(nr) == arch::SYS_ARCH_PRCTL => return self.arch_prctl(call, argument(0)),
            // If there is a table, read_ldt() in arch/x86/kernel/ldt.c fills the buffer up to its
            // size, with zeros past the end of the table; without a table it returns 0. The module
            // does not report the contents.
            nr if Some(nr) == arch::SYS_MODIFY_LDT && argument(0) == 0 => {
                const MOST: u64 = 8192 * 8;
                match self.process()?.ldt {
                    1.. => number(argument(2).min(MOST)),
                    none_or_error => told_number(none_or_error),
                }
            }
            _ => return Err(self.unanswered(call)),
        })
    }

    /// Both results are in one buffer: the mode at its beginning, where argument 0 points, and the
    /// node mask at offset 8, where argument 1 points.
    fn policy(&self, call: &Call, addr: u64, flags: u64) -> Result<Answer> {
        /// include/uapi/linux/mempolicy.h
        const MPOL_F_ADDR: u64 = 1 << 1;
        let at = match (addr, flags) {
            (0, 0) => None,
            (addr, MPOL_F_ADDR) => Some(addr),
            _ => return Err(self.unanswered(call)),
        };
        let tid = self.held.tid;
        match self.held.device.policy(tid, at) {
            Ok(policy) => {
                let mode = u64::from(policy.mode).to_le_bytes();
                let nodes = policy.nodes.iter().flat_map(|word| word.to_ne_bytes());
                Ok(bytes(0, mode.into_iter().chain(nodes).collect()))
            }
            Err(err) => match err.raw_os_error() {
                // As get_mempolicy(2) returns it.
                Some(libc::ENOENT) => Ok(errno(libc::EFAULT)),
                Some(libc::EOPNOTSUPP) => Ok(errno(libc::ENOSYS)),
                _ => told(Err(err), tid, || format!("read a memory policy of {tid}")),
            },
        }
    }

    fn arch_prctl(&self, call: &Call, option: u64) -> Result<Answer> {
        // arch/x86/include/uapi/asm/prctl.h
        const ARCH_GET_CPUID: u64 = 0x1011;
        const ARCH_GET_XCOMP_PERM: u64 = 0x1022;
        const ARCH_GET_UNTAG_MASK: u64 = 0x4001;
        let word = |error: i32, word: u64| if error == 0 { words(1, [word]) } else { told_number(error) };
        let process = self.process()?;
        Ok(match option {
            ARCH_GET_CPUID => told_number(self.held.told.cpuid),
            ARCH_GET_XCOMP_PERM => word(process.xcomp_error, process.xcomp_perm),
            ARCH_GET_UNTAG_MASK => word(process.untag_error, process.untag_mask),
            _ => return Err(self.unanswered(call)),
        })
    }

    fn prctl(&self, call: &Call, option: i32) -> Result<Answer> {
        let told = &self.held.told;
        let argument = |at: usize| immediate(call, at);
        let word = |value: u32| bytes(1, value.to_ne_bytes().to_vec());
        Ok(match option {
            PR_GET_TID_ADDRESS => words(1, [told.clear_child_tid]),
            libc::PR_GET_TIMERSLACK => number(told.timer_slack),
            libc::PR_GET_SECUREBITS => number(told.securebits),
            libc::PR_GET_PDEATHSIG => word(told.pdeath_signal),
            libc::PR_GET_TSC if told.tsc != 0 => word(told.tsc),
            // powerpc only, where the module holds no threads.
            libc::PR_GET_TSC | libc::PR_GET_FPEXC | libc::PR_GET_UNALIGN => errno(libc::EINVAL),
            libc::PR_MCE_KILL_GET => number(told.mce_kill),
            libc::PR_GET_DUMPABLE => number(self.process()?.dumpable),
            libc::PR_GET_THP_DISABLE => number(self.process()?.thp_disable),
            libc::PR_GET_CHILD_SUBREAPER => word(self.process()?.subreaper),
            PR_GET_SPECULATION_CTRL => match argument(1) {
                PR_SPEC_STORE_BYPASS => number(told.spec_store_bypass),
                PR_SPEC_INDIRECT_BRANCH => number(told.spec_indirect_branch),
                PR_SPEC_L1D_FLUSH => number(told.spec_l1d_flush),
                _ => return Err(self.unanswered(call)),
            },
            PR_GET_MDWE => number(self.process()?.mdwe),
            PR_GET_MEMORY_MERGE => number(self.process()?.memory_merge),
            PR_RSEQ_SLICE_EXTENSION if argument(1) == PR_RSEQ_SLICE_EXTENSION_GET => number(told.rseq_slice),
            _ => return Err(self.unanswered(call)),
        })
    }

    fn timer(&self, id: i32) -> Result<kmod::Timer> {
        let pid = self.held.pid;
        match self.held.device.timer(pid, id) {
            Err(err) if err.raw_os_error() == Some(libc::EOPNOTSUPP) => Err(Error::unsupported(format!(
                "pid {pid}: POSIX timer {id}: the kernel module cannot read its clock"
            ))),
            other => told(other, pid, || format!("read POSIX timer {id} of {pid}")),
        }
    }

    /// The error for a query that the module does not implement.
    fn unanswered(&self, call: &Call) -> Error {
        Error::unsupported(format!(
            "pid {}: {}: not supported by the kernel module",
            self.held.tid, call.what
        ))
    }
}

/// `struct itimerspec`, or `struct itimerval` with fractions in `unit` nanoseconds, at the second
/// argument.
fn spec(value: u64, interval: u64, unit: u64) -> Answer {
    const NANOS: u64 = 1_000_000_000;
    let parts = |ns: u64| [ns / NANOS, ns % NANOS / unit];
    let ([a, b], [c, d]) = (parts(interval), parts(value));
    words(1, [a, b, c, d])
}
