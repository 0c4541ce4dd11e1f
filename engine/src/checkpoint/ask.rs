//! State that only code inside a process can read: one program for each thread.

use super::inspection::InspectedProcess;
use crate::error::{Error, Problem, Problems, Result, Subject};
use crate::proc::status;
use crate::remote::{DataId, Program, ProgramOutput, Stopped};
use crate::resource::mm::ask::{AskMemory, Found};
use crate::resource::mm::policy::{self, AskPolicies};
use crate::resource::mm::vma::{Backing, Vma};
use crate::resource::process::{self, Alive, AskReports, AskRlimits, Child, State};
use crate::resource::refused::AskRefused;
use crate::resource::signal::{self, AskActions, Pending};
use crate::resource::thread::keyring::AskKeyrings;
use crate::resource::thread::landlock::{AskLandlock, Peers};
use crate::resource::thread::rings::{Answers, AskRings, Ring};
use crate::resource::thread::{AskThread, Thread, rseq, seccomp};
use crate::resource::timer::{self, AskIntervalTimers, AskPosixTimers, Notify};
use crate::sys::task::Seen;
use crate::tree::Task;
use crate::tree::freeze::read_stat;
use std::collections::{HashMap, HashSet};

/// What this kernel and this source provide.
#[derive(Clone, Copy)]
struct Ways {
    /// Whether threads have to be probed for their rseq areas.
    rseq_unknown: bool,
    /// Whether the kernel supports memory policies.
    policies: bool,
    /// Whether the kernel module provides the state.
    by_module: bool,
}

/// What the first thread of a process reads.
struct AskProcess {
    first: AskEach,
    actions: AskActions,
    interval_timers: AskIntervalTimers,
    posix_timers: AskPosixTimers,
    rlimits: AskRlimits,
    memory: AskMemory,
    policies: AskPolicies,
    refused: AskRefused,
    subreaper: DataId,
    reports: AskReports,
}

impl AskProcess {
    /// Adds the calls. Their order is free: none depends on an earlier one.
    fn ask(
        program: &mut Program,
        first: &Stopped,
        seen: &mut InspectedProcess,
        children: &[Child],
        around: &Around<'_>,
    ) -> Result<Self> {
        let ways = around.ways;
        let subreaper = program.out(4);
        let args = [libc::PR_GET_CHILD_SUBREAPER.into(), subreaper.into()];
        program.call_ok(libc::SYS_prctl, &args, "read subreaper");
        Ok(AskProcess {
            first: AskEach::ask(program, first, around)?,
            actions: AskActions::ask(program),
            interval_timers: AskIntervalTimers::ask(program),
            posix_timers: AskPosixTimers::ask(program, std::mem::take(&mut seen.timers)),
            rlimits: AskRlimits::ask(program),
            memory: AskMemory::ask(program, ways.by_module),
            policies: AskPolicies::ask(
                program,
                seen.vmas.iter().filter(|(vma, _)| ways.may_have_policy(vma)).map(|(vma, _)| vma.start),
            ),
            refused: AskRefused::ask(program),
            subreaper,
            reports: AskReports::ask(program, children),
        })
    }
}

/// What a thread is asked with.
struct Around<'a> {
    ways: Ways,
    /// The io_urings of its process.
    rings: &'a [Ring],
    peers: &'a Peers,
}

/// What each thread reads: its record, and reasons to refuse it.
struct AskEach {
    record: AskThread,
    rings: AskRings,
    keyrings: AskKeyrings,
    landlock: AskLandlock,
}

impl AskEach {
    fn ask(program: &mut Program, thread: &Stopped, around: &Around<'_>) -> Result<Self> {
        let Around { ways, rings, peers } = around;
        Ok(AskEach {
            record: AskThread::ask(program, thread, ways.rseq_unknown, ways.policies)?,
            rings: AskRings::ask(program, rings),
            keyrings: AskKeyrings::ask(program),
            landlock: AskLandlock::ask(program, thread, peers),
        })
    }

    fn answer(&self, told: &ProgramOutput, thread: &Stopped, asked: &mut Asked) -> Result<Thread> {
        let Asked { answers, problems, .. } = asked;
        self.rings.answer(told, (thread.pid(), thread.tid()), answers, problems);
        self.keyrings.answer(told, thread, problems);
        self.landlock.answer(told, thread, problems)?;
        self.record.answer(told, thread)
    }
}

impl Ways {
    fn may_have_policy(self, vma: &Vma) -> bool {
        self.policies && !matches!(vma.backing, Backing::Special { .. })
    }
}

/// Collected over all processes of the job.
#[derive(Default)]
pub struct Asked {
    /// Whether each child has an event left to wait for.
    pub reports: HashMap<i32, bool>,
    /// What io_urings say.
    pub answers: Answers,
    /// What cannot be saved.
    pub problems: Problems,
}

/// Reads the state of a process and its threads.
///
/// # Errors
/// *unsupported*, *vanished*, or what the kernel reports.
pub fn ask(
    task: &mut Task,
    mut seen: InspectedProcess,
    children: &[Child],
    peers: &Peers,
    all: &mut Asked,
) -> Result<Alive> {
    let process = task.seen();
    let Seen { pid, by } = process;
    let ways = Ways {
        rseq_unknown: task.device.is_none() && !rseq::kernel_tells(by),
        policies: policy::available(),
        by_module: task.device.is_some(),
    };
    // Read before and after the timers: a signal that arrives in between belongs to an expiration
    // that one of the two readings does not show.
    let before = pending_of_timers(task, &seen)?;
    // Before any program runs: the kernel would lose the critical section a thread was in.
    for thread in &mut task.threads {
        rseq::abort_critical_section(thread, ways.rseq_unknown)?;
    }
    let rings = std::mem::take(&mut seen.rings);
    let around = Around { ways, rings: &rings, peers };
    let mut program = Program::new();
    let asked = AskProcess::ask(&mut program, &task.threads[0], &mut seen, children, &around)?;
    let told = task.ask(0, &program)?;
    let mut threads = vec![asked.first.answer(&told, &task.threads[0], all)?];
    for at in 1..task.threads.len() {
        let mut program = Program::new();
        let asked = AskEach::ask(&mut program, &task.threads[at], &around)?;
        let told = task.ask(at, &program)?;
        threads.push(asked.answer(&told, &task.threads[at], all)?);
    }
    let Asked { reports, problems, .. } = all;
    let filters = seccomp::capture(&mut threads)?;
    let personality = process::personality(by)?;
    for thread in &threads[1..] {
        if process::personality(thread.tid)? != personality {
            let why = "has an execution domain of its own (personality(2)); end that thread first";
            problems.push(Problem::of_thread(pid, thread.tid, why));
        }
    }
    let mut cgroups = seen.cgroups.into_iter();
    let own = cgroups.next().unwrap_or_default();
    for (thread, cgroups) in threads.iter_mut().skip(1).zip(cgroups) {
        thread.cgroups = (cgroups != own).then_some(cgroups);
    }

    reports.extend(asked.reports.answer(&told));
    asked
        .refused
        .answer(&told)
        .for_each(|what| problems.push(Problem::of(Subject::process(pid), format!(": {what}"))));
    let policed = seen.vmas.iter_mut().map(|(vma, _)| vma).filter(|vma| ways.may_have_policy(vma));
    policed.zip(asked.policies.answer(&told)).for_each(|(vma, policy)| vma.policy = policy);

    let status = status::of_thread(pid, by)?;
    let pending = signal::capture_pending(&task.threads[0], true, status.shdpnd)?;
    let after: Vec<Pending> =
        pending.iter().chain(threads.iter().flat_map(|t| &t.pending)).cloned().collect();
    let (mut interval_timers, mut posix_timers) =
        (asked.interval_timers.answer(&told), asked.posix_timers.answer(&told));
    timer::reconcile(&before, &after, &mut interval_timers, &mut posix_timers);

    let vmas = seen.vmas.into_iter().map(|(vma, _)| vma).collect();
    let found = Found { vmas, tagged: seen.tagged, exe: seen.exe };
    let scratch = task.scratch()?;
    // That of a leader that has exited has no addresses.
    let vanished = || Error::Vanished(format!("pid {pid} has exited"));
    let of_first = (!process.has_leader()).then(|| read_stat(by)?.ok_or_else(vanished)).transpose()?;
    let addresses = of_first.as_ref().unwrap_or(&task.stat);
    Ok(Alive {
        state: task.group_stop().map_or(State::Running, |signal| State::Stopped { signal, reported: false }),
        continued: false,
        leader: seen.leader,
        threads,
        filters,
        memory: asked.memory.answer(&told, found, addresses, &task.threads[0], scratch)?,
        fds: seen.fds,
        files_of: seen.files_of,
        cwd: seen.cwd,
        root: seen.root,
        umask: status.umask.unwrap_or(0o022),
        fs_of: seen.fs_of,
        memory_of: seen.memory_of,
        actions_of: seen.actions_of,
        actions: if seen.actions_of.is_some() { Vec::new() } else { asked.actions.answer(&told) },
        pending,
        interval_timers,
        posix_timers,
        rlimits: asked.rlimits.answer(&told),
        personality,
        subreaper: told.data(asked.subreaper)[0] != 0,
        oom_score_adj: process::oom_score_adj(pid)?,
        coredump_filter: process::coredump_filter(by)?,
        session_nice: process::session_nice(pid)?,
        cgroups: own,
        label: process::label(by)?,
    })
}

/// Signals pending for the process, and for those threads that a timer notifies.
fn pending_of_timers(task: &Task, seen: &InspectedProcess) -> Result<Vec<Pending>> {
    let mut pending = signal::capture_pending(&task.threads[0], true, 0)?;
    let notified = seen.timers.iter().filter_map(|timer| match timer.notify {
        Notify::Thread(tid) => Some(tid),
        Notify::None | Notify::Signal => None,
    });
    let notified: HashSet<i32> = notified.collect();
    for thread in task.threads.iter().filter(|thread| notified.contains(&thread.tid())) {
        pending.extend(signal::capture_pending(thread, false, 0)?);
    }
    Ok(pending)
}
