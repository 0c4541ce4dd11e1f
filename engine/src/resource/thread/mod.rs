//! A thread: registers, its registrations with the kernel, its name and its scheduling parameters.

pub mod control;
pub mod creds;
pub mod keyring;
pub mod landlock;
pub mod rings;
pub mod rseq;
pub mod seccomp;
pub mod sleep;

use crate::arch::{self, Regs};
use crate::error::{Context, Error, Result};
use crate::proc::stat::Brief;
use crate::proc::status;
use crate::remote::{Arg, DataId, Program, ProgramOutput, Stopped};
use crate::resource::bytes::{Bytes, PathBytes};
use crate::resource::mm::policy::{self, AskPolicy, Policy};
use crate::resource::signal::{self, AltStack, AskAltStack, AskNumber, Pending};
use crate::sys::{PR_GET_TID_ADDRESS, ptrace, task};
use control::{AskControls, Controls};
use creds::{AskCreds, Creds};
use seccomp::Seccomp;
use serde::{Deserialize, Serialize};
use sleep::Sleep;

/// The registered restartable sequence area, rseq(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rseq {
    /// Address of `struct rseq`.
    pub address: u64,
    /// Registered length in bytes.
    pub size: u32,
    /// Signature that precedes abort handlers.
    pub signature: u32,
    /// Whether it may request a time slice extension (`PR_RSEQ_SLICE_EXTENSION`, Linux 7.0).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slice_extension: bool,
}

/// An extended register set in the format of `PTRACE_GETREGSET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterSet {
    /// ELF note type.
    pub note: u32,
    /// Contents.
    pub data: Bytes,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its thread id; the PID for the leader.
    pub tid: i32,
    /// Name, up to 15 bytes.
    pub comm: PathBytes,
    /// General registers to resume with; an interrupted system call is restarted.
    pub regs: Regs,
    /// Extended register sets.
    pub extended: Vec<RegisterSet>,
    /// Blocked signals, bit n-1 for signal n.
    pub sigmask: u64,
    /// Alternate signal stack.
    pub altstack: Option<AltStack>,
    /// Signals queued for this thread alone, in order.
    pub pending: Vec<Pending>,
    /// Head and length of the robust futex list; 0 if none.
    pub robust_list: (u64, u64),
    /// Where the kernel writes 0 and wakes a futex when the thread exits; 0 for nowhere.
    pub clear_child_tid: u64,
    /// Registered rseq area.
    pub rseq: Option<Rseq>,
    /// Timer slack in nanoseconds; 0 where the kernel applies none (real-time policies).
    pub timer_slack: u64,
    /// The remaining time of the system call that its registers restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep: Option<Sleep>,
    /// prctl(2) settings that differ from those of a new program.
    #[serde(default, skip_serializing_if = "Controls::is_empty")]
    pub controls: Controls,
    /// NUMA memory policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Whether it is an I/O flusher (`PR_SET_IO_FLUSHER`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub io_flusher: bool,
    /// What restricts its system calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// Credentials.
    pub creds: Creds,
    /// Scheduling policy, nice value, priority.
    pub sched: task::SchedAttr,
    /// I/O priority, ioprio_get(2).
    pub ioprio: i32,
    /// CPUs it may run on, bit n of the bytes for CPU n.
    pub affinity: Bytes,
    /// Control groups, if they differ from those of its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroups: Option<Vec<usize>>,
}

/// The part of a thread's program that reads its state.
pub struct AskThread {
    altstack: AskAltStack,
    clear_child_tid: DataId,
    timer_slack: AskNumber,
    controls: AskControls,
    policy: Option<AskPolicy>,
    slice_extension: AskNumber,
    creds: AskCreds,
    rseq: Option<rseq::AskRseq>,
}

impl AskThread {
    /// Adds the calls. `rseq_unknown`: this kernel does not report rseq areas to a tracer.
    /// `policies`: it has memory policies.
    ///
    /// # Errors
    /// What ptrace(2) reports.
    pub fn ask(program: &mut Program, thread: &Stopped, rseq_unknown: bool, policies: bool) -> Result<Self> {
        let clear_child_tid = program.out(8);
        let args = [PR_GET_TID_ADDRESS.into(), clear_child_tid.into()];
        program.call_ok(libc::SYS_prctl, &args, "read clear_child_tid (needs CONFIG_CHECKPOINT_RESTORE)");
        let rseq = match thread {
            Stopped::Traced(tracee) if rseq_unknown => Some(tracee.thread_pointer()?),
            Stopped::Traced(_) | Stopped::ModuleThread(_) => None,
        };
        Ok(AskThread {
            altstack: AskAltStack::ask(program),
            clear_child_tid,
            timer_slack: AskNumber::ask(
                program,
                libc::SYS_prctl,
                &[libc::PR_GET_TIMERSLACK.into()],
                "read timer slack",
            ),
            controls: AskControls::ask(program),
            policy: policies.then(|| AskPolicy::ask(program)),
            slice_extension: AskNumber::ask(
                program,
                libc::SYS_prctl,
                &[
                    rseq::PR_RSEQ_SLICE_EXTENSION.into(),
                    Arg::Imm(rseq::SLICE_EXTENSION_GET),
                    Arg::Imm(0),
                    Arg::Imm(0),
                    Arg::Imm(0),
                ],
                "read time slice extension",
            ),
            creds: AskCreds::ask(program),
            rseq: rseq.map(|near| rseq::AskRseq::ask(program, near)),
        })
    }

    /// The record of the thread.
    ///
    /// # Errors
    /// *vanished*, *unsupported*, or what the kernel reports.
    pub fn answer(&self, outcome: &ProgramOutput, thread: &Stopped) -> Result<Thread> {
        let (pid, tid) = (thread.pid(), thread.tid());
        let status = status::of_thread(pid, tid)?;
        let mut extended = Vec::new();
        for note in arch::EXTENDED_SETS {
            let data = thread.register_set(*note)?.and_then(|data| arch::canonical(*note, data));
            extended.extend(data.map(|data| RegisterSet { note: *note, data: Bytes(data) }));
        }
        let live =
            |note: &u32| extended.iter().any(|set| set.note == *note && arch::is_live(*note, &set.data.0));
        let in_others: Vec<u32> = arch::PART_OF
            .iter()
            .filter(|(_, wholes)| wholes.iter().any(live))
            .map(|(part, _)| *part)
            .collect();
        extended.retain(|set| !in_others.contains(&set.note));
        let rseq = match &self.rseq {
            Some(asked) => asked.answer(outcome, tid)?,
            None => rseq::registered(thread)?,
        };
        let slice_extension = self.slice_extension.answer(outcome).is_some_and(|set| set & 1 != 0);
        let rseq = rseq.map(|rseq| Rseq { slice_extension, ..rseq });
        let brief =
            Brief::of_thread(pid, tid).ok_or_else(|| Error::Vanished(format!("thread {tid} has exited")))?;
        Ok(Thread {
            tid,
            comm: PathBytes(brief.comm),
            regs: thread.regs_to_restart(),
            extended,
            sigmask: thread.mask(),
            altstack: self.altstack.answer(outcome),
            pending: signal::capture_pending(thread, false, status.sigpnd)?,
            robust_list: task::robust_list(tid).context(|| format!("read robust list of {tid}"))?,
            clear_child_tid: u64::from_ne_bytes(
                outcome.data(self.clear_child_tid).try_into().expect("eight bytes"),
            ),
            rseq,
            sleep: Sleep::of(thread),
            timer_slack: self.timer_slack.answer(outcome).unwrap_or(0) as u64,
            controls: self.controls.answer(outcome),
            policy: self.policy.as_ref().and_then(|asked| asked.answer(outcome)),
            io_flusher: brief.flags & PF_IO_FLUSHER == PF_IO_FLUSHER,
            seccomp: seccomp::of_mode(status.seccomp.unwrap_or(0)),
            creds: self.creds.answer(outcome, &status)?,
            sched: task::sched_attr(tid).context(|| format!("read scheduling of {tid}"))?,
            ioprio: task::ioprio(tid).context(|| format!("read I/O priority of {tid}"))?,
            affinity: Bytes(task::affinity(tid).context(|| format!("read affinity of {tid}"))?),
            cgroups: None,
        })
    }
}

/// include/uapi/linux/prctl.h, Linux 5.6
const PR_SET_IO_FLUSHER: i32 = 57;
/// The flags that it sets: `PF_MEMALLOC_NOIO` and `PF_LOCAL_THROTTLE` (include/linux/sched.h).
/// prctl(2) itself reports them only with CAP_SYS_RESOURCE.
const PF_IO_FLUSHER: u32 = 0x0008_0000 | 0x0010_0000;

impl Thread {
    /// Restores registrations, name and credentials. Runs in the thread itself; `inherited` are the
    /// credentials that it has, `policies` is set if this kernel has memory policies.
    pub fn rebuild(&self, inherited: &Creds, policies: bool, program: &mut Program) {
        let prctl = |program: &mut Program, args: &[Arg], what: &str| {
            program.call_ok(libc::SYS_prctl, args, what.to_string());
        };
        let name = program.cstr(&self.comm.0);
        prctl(program, &[libc::PR_SET_NAME.into(), name.into()], "set name");
        program.call_unchecked(
            libc::SYS_set_tid_address,
            &[self.clear_child_tid.into()],
            "set clear_child_tid",
        );
        if self.robust_list.0 != 0 {
            let args = [self.robust_list.0.into(), self.robust_list.1.into()];
            program.call_ok(libc::SYS_set_robust_list, &args, "set robust list");
        }
        if let Some(altstack) = &self.altstack {
            altstack.rebuild(program);
        }
        if self.timer_slack != 0 {
            prctl(program, &[libc::PR_SET_TIMERSLACK.into(), self.timer_slack.into()], "set timer slack");
        }
        control::rebuild(&self.controls, program);
        if policies {
            policy::rebuild(self.policy.as_ref(), program);
        }
        if self.io_flusher {
            let args = [PR_SET_IO_FLUSHER, 1, 0, 0, 0].map(Arg::from);
            prctl(program, &args, "become an I/O flusher (needs CAP_SYS_RESOURCE)");
        }
        self.creds.rebuild(inherited, program);
    }

    /// Sets scheduling parameters from outside, while the engine has the privileges.
    ///
    /// # Errors
    /// *denied* without CAP_SYS_NICE.
    pub fn rebuild_scheduling(&self) -> Result<()> {
        let tid = self.tid;
        if task::sched_attr(tid).context(|| format!("read scheduling of {tid}"))? != self.sched {
            task::set_sched_attr(tid, &self.sched).context(|| format!("set scheduling of {tid}"))?;
        }
        if task::ioprio(tid).context(|| format!("read I/O priority of {tid}"))? != self.ioprio {
            task::set_ioprio(tid, self.ioprio).context(|| format!("set I/O priority of {tid}"))?;
        }
        if task::affinity(tid).context(|| format!("read affinity of {tid}"))? != self.affinity.0 {
            task::set_affinity(tid, &self.affinity.0).context(|| format!("set affinity of {tid}"))?;
        }
        Ok(())
    }

    /// Writes the extended register sets, which must fit this machine, and verifies all of them at
    /// the end: writing one may change another, and some kernels silently dropped parts (PKRU, 5.14
    /// to 6.1). Sets that are right already are not written.
    ///
    /// # Errors
    /// The first difference.
    pub fn rebuild_extended(&self) -> Result<()> {
        let tid = self.tid;
        let what = |note: u32| format!("register set {note:#x} of {tid}");
        let read = |note| ptrace::register_set(tid, note).context(|| format!("read {}", what(note)));
        for RegisterSet { note, data: Bytes(data) } in &self.extended {
            let Some(here) = read(*note)? else {
                return Err(Error::Conflict(format!("{}: not available on this machine", what(*note))));
            };
            arch::extended_fits(*note, data, &here)
                .map_err(|why| Error::Conflict(format!("{}: {why}", what(*note))))?;
            if arch::canonical(*note, here).as_ref() != Some(data) {
                ptrace::set_regset(tid, *note, data).context(|| format!("set {}", what(*note)))?;
            }
        }
        for RegisterSet { note, data: Bytes(data) } in &self.extended {
            let now = read(*note)?.unwrap_or_default();
            if let Some(at) = arch::extended_difference(*note, data, &now) {
                return Err(Error::Failed {
                    what: format!("set {}", what(*note)),
                    source: std::io::Error::other(format!("the kernel did not accept byte {at}")),
                });
            }
        }
        Ok(())
    }
}
