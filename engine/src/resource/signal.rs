//! Signals: actions, blocked masks, alternate stacks, pending queues.

use super::bytes::Bytes;
use crate::error::Result;
use crate::remote::{Arg, CallId, DataId, Program, ProgramOutput, Stopped};
use crate::sys::ptrace;
use serde::{Deserialize, Serialize};

/// Signals that dump core by default (signal(7)).
pub const DUMPING: [i32; 10] = [
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGSYS,
];

/// Signals are numbered 1 … 64.
pub const SIGNALS: i32 = 64;
/// Bytes of the kernel's `sigset_t`.
pub const SIGSET_SIZE: u64 = 8;

/// `struct sigaction` of rt_sigaction(2) (include/linux/signal_types.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Signal number.
    pub signal: i32,
    /// Handler address, or SIG_DFL (0), SIG_IGN (1).
    pub handler: u64,
    /// `SA_*`
    pub flags: u64,
    /// Address that the handler returns to.
    pub restorer: u64,
    /// Signals blocked while the handler runs, bit n-1 for signal n.
    pub mask: u64,
}

const ACTION_SIZE: usize = 32;

impl Action {
    fn decode(signal: i32, bytes: &[u8]) -> Self {
        let word = |i: usize| u64::from_ne_bytes(bytes[i * 8..i * 8 + 8].try_into().expect("eight bytes"));
        Action { signal, handler: word(0), flags: word(1), restorer: word(2), mask: word(3) }
    }

    fn encode(&self) -> Vec<u8> {
        [self.handler, self.flags, self.restorer, self.mask].iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    fn is_default(&self) -> bool {
        self.handler == 0 && self.flags == 0 && self.mask == 0 && self.restorer == 0
    }
}

/// Reads all signal actions of a process.
pub struct AskActions(Vec<(i32, DataId)>);

impl AskActions {
    /// Adds the calls to a program for any thread of the process.
    pub fn ask(program: &mut Program) -> Self {
        let signals = (1..=SIGNALS).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s));
        AskActions(
            signals
                .map(|signal| {
                    let out = program.out(ACTION_SIZE);
                    let args = [Arg::from(signal), Arg::Imm(0), out.into(), SIGSET_SIZE.into()];
                    program.call_ok(libc::SYS_rt_sigaction, &args, format!("read action of signal {signal}"));
                    (signal, out)
                })
                .collect(),
        )
    }

    /// The actions that are not the default, by signal number.
    pub fn answer(&self, outcome: &ProgramOutput) -> Vec<Action> {
        let all = self.0.iter().map(|(signal, out)| Action::decode(*signal, outcome.data(*out)));
        all.filter(|action| !action.is_default()).collect()
    }
}

/// Sets the actions; those not listed are at their default already.
pub fn rebuild_actions(actions: &[Action], program: &mut Program) {
    for action in actions {
        let bytes = program.bytes(action.encode());
        let args = [Arg::from(action.signal), bytes.into(), Arg::Imm(0), SIGSET_SIZE.into()];
        program.call_ok(libc::SYS_rt_sigaction, &args, format!("set action of signal {}", action.signal));
    }
}

/// Resets every action to its default: a fork of the engine has some that are not.
pub fn reset_actions(program: &mut Program) {
    let default = program.bytes(vec![0; ACTION_SIZE]);
    for signal in (1..=SIGNALS).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s)) {
        let args = [signal.into(), default.into(), Arg::Imm(0), SIGSET_SIZE.into()];
        program.call_ok(libc::SYS_rt_sigaction, &args, format!("reset action of signal {signal}"));
    }
}

/// Dequeues the signals that exits and stops of children have just sent to a parent that had
/// already seen them: SIGCHLD, and for each zombie its exit signal (`ended`). Nothing else is
/// pending yet.
pub fn drain_of_children(ended: impl Iterator<Item = i32>, program: &mut Program) {
    // A standard signal is pending at most once; real-time signals are queued as often as they were
    // sent.
    let all: Vec<i32> = std::iter::once(libc::SIGCHLD).chain(ended.filter(|signal| *signal != 0)).collect();
    let set: u64 = all.iter().fold(0, |set, signal| set | 1 << (signal - 1));
    let set = program.bytes(set.to_ne_bytes());
    let now = program.bytes(vec![0; 16]);
    for _ in &all {
        let args = [set.into(), Arg::Imm(0), now.into(), SIGSET_SIZE.into()];
        program.call_unchecked(libc::SYS_rt_sigtimedwait, &args, "drop exit signals of children");
    }
}

/// `stack_t` of sigaltstack(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AltStack {
    /// Lowest address.
    pub sp: u64,
    /// `SS_DISABLE`, `SS_AUTODISARM`; `SS_ONSTACK` follows from the stack pointer.
    pub flags: u32,
    /// Size in bytes.
    pub size: u64,
}

const STACK_T_SIZE: usize = 24;

/// Reads a thread's alternate stack.
pub struct AskAltStack(DataId);

impl AskAltStack {
    /// Adds the call.
    pub fn ask(program: &mut Program) -> Self {
        let out = program.out(STACK_T_SIZE);
        program.call_ok(libc::SYS_sigaltstack, &[Arg::Imm(0), out.into()], "read alternate signal stack");
        AskAltStack(out)
    }

    /// The stack; `None` when it is disabled.
    pub fn answer(&self, outcome: &ProgramOutput) -> Option<AltStack> {
        let data = outcome.data(self.0);
        let word = |i: usize| u64::from_ne_bytes(data[i * 8..i * 8 + 8].try_into().expect("eight bytes"));
        let flags = word(1) as u32 & !(libc::SS_ONSTACK as u32);
        (flags & libc::SS_DISABLE as u32 == 0).then(|| AltStack { sp: word(0), flags, size: word(2) })
    }
}

/// Disables the alternate stack: a fork of the engine has one.
pub fn disable_altstack(program: &mut Program) {
    AltStack { sp: 0, flags: libc::SS_DISABLE as u32, size: 0 }.rebuild(program);
}

impl AltStack {
    /// Sets it. Remote programs run on another stack, so the kernel never sees it in use.
    pub fn rebuild(&self, program: &mut Program) {
        let words = [self.sp, u64::from(self.flags), self.size];
        let bytes = program.bytes(words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>());
        program.call_ok(libc::SYS_sigaltstack, &[bytes.into(), Arg::Imm(0)], "set alternate signal stack");
    }
}

/// A queued signal: its `siginfo_t`, `SI_MAX_SIZE` bytes, without trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Signal number.
    pub signal: i32,
    /// The siginfo.
    pub siginfo: Bytes,
}

impl Pending {
    fn decode(info: &[u8; ptrace::SIGINFO_SIZE]) -> Self {
        let len = info.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        let signal = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
        Pending { signal, siginfo: Bytes(info[..len].to_vec()) }
    }

    fn word(&self, at: usize) -> i32 {
        let byte = |i: usize| self.siginfo.0.get(at + i).copied().unwrap_or(0);
        i32::from_ne_bytes([byte(0), byte(1), byte(2), byte(3)])
    }

    /// `si_code`
    pub fn code(&self) -> i32 {
        self.word(8)
    }

    /// The id of the POSIX timer whose expiration it reports, if it does.
    pub fn timer(&self) -> Option<i32> {
        const SI_TIMER: i32 = -2;
        (self.code() == SI_TIMER).then(|| self.word(16))
    }

    fn info(&self) -> Vec<u8> {
        let mut info = self.siginfo.0.clone();
        info.resize(ptrace::SIGINFO_SIZE, 0);
        info
    }
}

/// The pending signals of a thread or, if `shared`, of its process. `mask` is the pending set in
/// /proc, for signals that found the queue full.
pub fn capture_pending(thread: &Stopped, shared: bool, mask: u64) -> Result<Vec<Pending>> {
    let mut pending: Vec<Pending> = thread.queue(shared)?.iter().map(Pending::decode).collect();
    for signal in (1..=SIGNALS).filter(|s| mask & (1 << (s - 1)) != 0) {
        if !pending.iter().any(|p| p.signal == signal) {
            // Pending without a queue entry: it is delivered as SI_USER with all else zero
            // (kernel/signal.c, collect_signal).
            pending.push(Pending { signal, siginfo: Bytes(signal.to_ne_bytes().to_vec()) });
        }
    }
    Ok(pending)
}

/// Requeues the signals in order, from inside the task: only there may `si_code` have any value
/// (rt_sigqueueinfo(2)). All signals but the notification must be blocked.
pub fn rebuild_pending(pending: &[Pending], pid: i32, tid: Option<i32>, program: &mut Program) {
    for p in pending {
        let info = program.bytes(p.info());
        let what = format!("queue pending signal {}", p.signal);
        match tid {
            None => {
                program.call_ok(libc::SYS_rt_sigqueueinfo, &[pid.into(), p.signal.into(), info.into()], what);
            }
            Some(tid) => {
                let args = [pid.into(), tid.into(), p.signal.into(), info.into()];
                program.call_ok(libc::SYS_rt_tgsigqueueinfo, &args, what);
            }
        }
    }
}

/// The set of signals in a queue, bit n-1 for signal n.
pub fn pending_set(pending: &[Pending]) -> u64 {
    pending.iter().fold(0, |set, p| set | 1 << (p.signal - 1))
}

/// Reads a number that prctl(2) or a similar call returns.
pub struct AskNumber(CallId);

impl AskNumber {
    /// Adds a call whose result is the number.
    pub fn ask(program: &mut Program, nr: i64, args: &[Arg], what: &str) -> Self {
        AskNumber(program.call_unchecked(nr, args, what))
    }

    /// The result; `None` when the kernel does not support the call.
    pub fn answer(&self, outcome: &ProgramOutput) -> Option<i64> {
        let result = outcome.result(self.0);
        (result >= 0).then_some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_survive_their_encoding() {
        let action = Action { signal: 10, handler: 1, flags: 0x0400_0004, restorer: 3, mask: 4 };
        assert_eq!(Action::decode(10, &action.encode()), action);
    }

    #[test]
    fn a_siginfo_gets_its_zeros_back() {
        let mut info = [0u8; ptrace::SIGINFO_SIZE];
        info[0] = 34;
        info[24] = 7;
        let pending = Pending::decode(&info);
        assert_eq!((pending.signal, pending.siginfo.0.len()), (34, 25));
        assert_eq!(pending.info(), info);
    }
}
