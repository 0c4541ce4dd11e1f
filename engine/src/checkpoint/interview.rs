//! The part of a checkpoint that asks: every thread runs one program of questions that only it can answer.

use super::survey::{Seen, SeenAlive, Survey};
use crate::error::{Problems, Result};
use crate::image::Extent;
use crate::proc::status;
use crate::remote::{Arg, Program};
use crate::resource::locks::Locks;
use crate::resource::membarrier::AskRegistrations;
use crate::resource::memory::{self, Backing, Memory, Vma};
use crate::resource::pages::{Copying, Owner};
use crate::resource::pkey::AskKeys;
use crate::resource::policy::{self, AskPolicies};
use crate::resource::process::{self, Alive, AskReports, AskRlimits, Child, Life, Process, State, Zombie};
use crate::resource::refused::AskRefused;
use crate::resource::signal::{self, AskActions, AskNumber};
use crate::resource::thread::AskThread;
use crate::resource::timer::{self, AskIntervalTimers, AskPosixTimers, Notify};
use crate::resource::{Records, bytes::PathBytes, clock::Clocks, rseq, tags};
use crate::tree::{Frozen, Outside, Scope, Task};
use procfs::process::Stat;
use std::collections::{HashMap, HashSet};

/// All that is to be known before the job goes on, or does not.
pub struct Complete {
    /// What the file will say.
    pub records: Records,
    /// The look at file locks, which may still be on its way.
    pub locks: Locks,
    /// Why they could not be restarted here if they were killed now: somebody else has a number of theirs.
    pub shared_number: Option<String>,
}

/// Everything but the contents, and what other processes have to do with it.
pub struct Interviewed {
    survey: Survey,
    clocks: Clocks,
    processes: Vec<Process>,
    owners: Vec<Option<Owner>>,
}

impl Interviewed {
    /// What is to be copied.
    pub fn copying(&self) -> &Copying {
        &self.survey.tables.copying
    }

    /// The records, with where the contents are, by owner.
    ///
    /// # Errors
    /// *unsupported* for what processes outside share with these.
    pub fn complete(
        mut self,
        frozen: &Frozen,
        scope: Scope,
        mut contents: Vec<Vec<Extent>>,
    ) -> Result<Complete> {
        let (outside, problems) = self.survey.look_around(&frozen.tasks)?;
        problems.none()?;
        let inside: HashSet<i32> = self.processes.iter().map(|process| process.pid).collect();
        let first = self.processes.first().map_or(scope.id(), |process| process.pid);
        let root = if inside.contains(&scope.id()) { scope.id() } else { first };
        let shared_number = inside.iter().find_map(|pid| {
            let who = outside.member(*pid)?;
            Some(format!(
                "pid {pid}: leads a session or process group that {who} is in: once it is killed, its number stays in use; end that process \
                 first, or save all that are in it (--pgid {pid}, --sid {pid})"
            ))
        });
        let numbers = Numbers { inside, outside: &outside };
        self.processes.iter_mut().for_each(|process| numbers.apply(process));
        let mut take = |owner: Owner| std::mem::take(&mut contents[owner.index()]);
        for (process, owner) in self.processes.iter_mut().zip(&self.owners) {
            if let (Life::Alive(alive), Some(owner)) = (&mut process.life, owner) {
                alive.memory.pages = take(*owner);
            }
        }
        let locks = self.survey.take_locks();
        let tables = self.survey.tables;
        let records = Records {
            root,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            clocks: Some(self.clocks),
            processes: self.processes,
            files: tables.files.finish(),
            inodes: tables.inodes.finish(&mut take),
            shared: tables.shared.finish(&mut take),
        };
        Ok(Complete { records, locks, shared_number })
    }

    /// The records as they are without any contents.
    ///
    /// # Errors
    /// As [`Interviewed::complete`].
    pub fn without_contents(self, frozen: &Frozen, scope: Scope) -> Result<Complete> {
        let owners = self.copying().owners();
        self.complete(frozen, scope, vec![Vec::new(); owners])
    }
}

/// Which numbers mean something to what is saved: those of its own, and of sessions and groups whose leader has ended that nobody else is in.
struct Numbers<'a> {
    inside: HashSet<i32>,
    outside: &'a Outside,
}

impl Numbers<'_> {
    /// Takes the others out of a process.
    fn apply(&self, process: &mut Process) {
        let Process { ppid, pgid, sid, .. } = process;
        if !self.inside.contains(ppid) {
            *ppid = 0;
        }
        if !self.inside.contains(sid) && self.outside.has_session(*sid) {
            *sid = 0;
        }
        if !self.inside.contains(pgid) && self.outside.has_group(*pgid) {
            *pgid = 0;
        }
    }
}

impl Survey {
    /// Asks every thread what only it can tell.
    ///
    /// # Errors
    /// *unsupported* for what only the answers show; what the kernel says.
    pub fn interview(mut self, frozen: &mut Frozen) -> Result<Interviewed> {
        let mut children: HashMap<i32, Vec<Child>> = HashMap::new();
        for task in frozen.tasks.iter().filter(|t| !t.threads.is_empty()) {
            let child = Child { pid: task.pid, stopped: task.group_stop().is_some() };
            children.entry(task.stat.ppid).or_default().push(child);
        }
        // Parents come before children.
        let mut reports = HashMap::new();
        let mut problems = Problems::default();
        let mut processes = Vec::new();
        let mut owners = Vec::new();
        for (task, seen) in frozen.tasks.iter_mut().zip(std::mem::take(&mut self.found)) {
            let stat = &task.stat;
            let Stat { pid, ppid, pgrp: pgid, session: sid, .. } = *stat;
            let exit_signal = stat.exit_signal.unwrap_or(libc::SIGCHLD);
            let life = match seen {
                Seen::Zombie => {
                    let status = stat.exit_code.unwrap_or(0);
                    owners.push(None);
                    Life::Zombie(Zombie { status, comm: PathBytes(stat.comm.clone().into_bytes()) })
                }
                Seen::Alive(seen) => {
                    owners.push(Some(seen.pages));
                    let children = children.get(&pid).map_or(&[][..], Vec::as_slice);
                    let mut alive = ask(task, *seen, children, &mut reports, &mut problems)?;
                    alive.note_report(reports.get(&pid).copied().unwrap_or(false));
                    Life::Alive(Box::new(alive))
                }
            };
            processes.push(Process { pid, ppid, pgid, sid, exit_signal, life });
        }
        problems.none()?;
        Ok(Interviewed { survey: self, clocks: Clocks::now(), processes, owners })
    }
}

/// The questions of a process and its threads: one program for each thread.
fn ask(
    task: &mut Task,
    mut seen: SeenAlive,
    children: &[Child],
    reports: &mut HashMap<i32, bool>,
    problems: &mut Problems,
) -> Result<Alive> {
    let pid = task.pid;
    // Looked at before the timers are read, and again after.
    let mut before = signal::capture_pending(&task.threads[0], true, 0)?;
    let notified = seen.timers.iter().filter_map(|timer| match timer.notify {
        Notify::Thread(tid) => Some(tid),
        Notify::None | Notify::Signal => None,
    });
    let notified: HashSet<i32> = notified.collect();
    for thread in task.threads.iter().filter(|thread| notified.contains(&thread.tid())) {
        before.extend(signal::capture_pending(thread, false, 0)?);
    }
    let rseq_unknown = task.device.is_none() && !rseq::kernel_tells(pid);
    let policies = policy::available();
    let stat = task.stat.clone();
    let group_stop = task.group_stop();
    // Before anything of ours runs in them: the kernel would forget what they were in.
    for thread in &mut task.threads {
        rseq::abort_critical_section(thread, rseq_unknown)?;
    }

    let mut program = Program::new();
    let ask_thread = AskThread::ask(&mut program, &task.threads[0], rseq_unknown, policies)?;
    let actions = AskActions::ask(&mut program);
    let interval = AskIntervalTimers::ask(&mut program);
    let rlimits = AskRlimits::ask(&mut program);
    let posix = AskPosixTimers::ask(&mut program, std::mem::take(&mut seen.timers));
    let keys = AskKeys::ask(&mut program);
    let registrations = AskRegistrations::ask(&mut program, task.device.is_some());
    let refused = AskRefused::ask(&mut program);
    let may_have_policy = |vma: &&Vma| policies && !matches!(vma.backing, Backing::Special { .. });
    let asked = AskPolicies::ask(&mut program, seen.vmas.iter().map(|(vma, _)| vma).filter(may_have_policy));
    let brk = AskNumber::ask(&mut program, libc::SYS_brk, &[Arg::Imm(0)], "read end of heap");
    let prctl = |program: &mut Program, option: i32, what: &str| {
        let args = [option.into(), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
        AskNumber::ask(program, libc::SYS_prctl, &args, what)
    };
    let dumpable = prctl(&mut program, libc::PR_GET_DUMPABLE, "read dumpable");
    let thp = prctl(&mut program, libc::PR_GET_THP_DISABLE, "read THP setting");
    let deny_write_execute = prctl(&mut program, memory::PR_GET_MDWE, "read MDWE");
    let merge = prctl(&mut program, memory::PR_GET_MEMORY_MERGE, "read whether equal pages are merged");
    let subreaper = program.out(4);
    program.must(libc::SYS_prctl, &[libc::PR_GET_CHILD_SUBREAPER.into(), subreaper.into()], "read subreaper");
    let asked_reports = AskReports::ask(&mut program, children);
    let outcome = task.ask(0, &program)?;

    reports.extend(asked_reports.answer(&outcome));
    problems_of(pid, &refused, &outcome, problems);
    let policed = seen.vmas.iter_mut().map(|(vma, _)| vma);
    asked.answer(&outcome, policed.filter(|vma| may_have_policy(&&**vma)));
    let first = ask_thread.answer(&outcome, &task.threads[0])?;
    let is_vdso = |v: &Vma| matches!(&v.backing, Backing::Special { name } if name == memory::VDSO);
    let vdso = seen.vmas.iter().find(|(vma, _)| is_vdso(vma));
    let vdso = vdso.map(|(vma, _)| memory::vdso_digest(pid, vma.start..vma.end)).transpose()?;
    let scratch = task.scratch()?;
    let lock_future = memory::lock_future(&task.threads[0], scratch)?;
    let mut threads = vec![first];
    for at in 1..task.threads.len() {
        let mut program = Program::new();
        let asked = AskThread::ask(&mut program, &task.threads[at], rseq_unknown, policies)?;
        let outcome = task.ask(at, &program)?;
        threads.push(asked.answer(&outcome, &task.threads[at])?);
    }
    let status = status::of_thread(pid, pid)?;
    let pending = signal::capture_pending(&task.threads[0], true, status.shdpnd)?;
    let (mut interval_timers, mut posix_timers) = (interval.answer(&outcome), posix.answer(&outcome));
    let after: Vec<_> = pending.iter().chain(threads.iter().flat_map(|t| &t.pending)).cloned().collect();
    timer::reconcile(&before, &after, &mut interval_timers, &mut posix_timers);

    let brk = brk.answer(&outcome).unwrap_or(0) as u64;
    Ok(Alive {
        state: group_stop.map_or(State::Running, |signal| State::Stopped { signal, reported: false }),
        continued: false,
        threads,
        memory: Memory {
            vmas: memory::join(seen.vmas.into_iter().map(|(vma, _)| vma).collect()),
            pages: Vec::new(),
            marks: memory::marks(&stat, brk)?,
            auxv: memory::auxv(pid)?,
            exe: seen.exe,
            vdso,
            lock_future,
            thp_disable: thp.answer(&outcome).unwrap_or(0) as u32,
            dumpable: dumpable.answer(&outcome).unwrap_or(1) as i32,
            pkeys: keys.answer(&outcome),
            membarrier: registrations.answer(&outcome),
            deny_write_execute: deny_write_execute.answer(&outcome).unwrap_or(0) as u32,
            merge: merge.answer(&outcome).unwrap_or(0) != 0,
            tags: tags::capture(pid, &seen.tagged)?,
        },
        fds: seen.fds,
        cwd: seen.cwd,
        root: seen.root,
        umask: status.umask.unwrap_or(0o022),
        actions: actions.answer(&outcome),
        pending,
        interval_timers,
        posix_timers,
        rlimits: rlimits.answer(&outcome),
        personality: process::personality(pid)?,
        subreaper: outcome.data(subreaper)[0] != 0,
        oom_score_adj: process::oom_score_adj(pid)?,
        coredump_filter: process::coredump_filter(pid)?,
        label: process::label(pid)?,
    })
}

fn problems_of(pid: i32, refused: &AskRefused, outcome: &crate::remote::Outcome, problems: &mut Problems) {
    refused.answer(outcome).for_each(|what| problems.push(format!("pid {pid}: {what}")));
}
