//! The story of a restart: verify, plan, open, bear, furnish, personalise, release.

pub mod changes;
pub mod nameless;
pub mod open;
pub mod plan;

use crate::arch;
use crate::error::{Context, Error, Result};
use crate::image::Reader;
use crate::remote::{Code, Program, RemoteAddr, Scratch, Tracee};
use crate::resource::creds::Creds;
use crate::resource::inode::{Inode, InodeKind};
use crate::resource::process::{self, Alive};
use crate::resource::rseq::AskRseq;
use crate::resource::thread::{self, Rseq, Thread};
use crate::resource::{Records, memory, rseq, signal, timer};
use crate::source;
use crate::sys::wait::{self, Stop};
use crate::sys::{self, clone, ptrace, task};
use crate::tree::freeze::read_stat;
use changes::{Accepted, Changes};
use open::Opened;
use plan::{Host, Newborn, Plan, Step};
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

/// How to restart.
pub struct Options<'a> {
    /// From which file.
    pub file: PathBuf,
    /// Told of bytes verified, and of all.
    pub progress: &'a dyn Fn(u64, u64),
    /// What was decided about files that changed.
    pub changes: Changes,
}

/// What a restart did.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The root process.
    pub pid: i32,
    /// Threads and zombies.
    pub tasks: usize,
    /// All of it.
    pub total_ns: u64,
}

/// A context file that has been verified, and the plan for it.
pub struct Prepared {
    reader: Reader,
    /// What the file says.
    pub records: Records,
    /// Named inodes that were looked at.
    accepted: Vec<Option<Accepted>>,
    /// What will be done.
    pub plan: Plan,
    /// Whether we may carry it out.
    restorer: Result<()>,
    begin: Instant,
}

/// Verifies the file and the machine, and makes the plan; nothing is made.
///
/// # Errors
/// *malformed*, *conflict*, *unsupported*.
pub fn prepare(options: &Options<'_>) -> Result<Prepared> {
    let begin = Instant::now();
    let failed = |source| Error::of_image(&options.file, source);
    let reader = Reader::open(&options.file).map_err(failed)?;
    reader.check_here().map_err(failed)?;
    let records: Records = reader.records().map_err(failed)?;
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    let range = reader.page_range();
    let progress = |done| (options.progress)(done, range.end - range.start);
    reader.verify_pages(cpus, &progress).map_err(failed)?;
    check_pids(&records)?;
    let accepted = changes::check(&records, &options.changes)?;
    raise_descriptor_limit(None)?;
    // Before we look at ourselves: what we are, a newborn is.
    let restorer = source::become_restorer();
    let mut host = host(&records, &accepted)?;
    check_machine(&records, &host)?;
    let mut plan = plan::plan(&records, &host).map_err(Error::Conflict)?;
    let need = plan.end_slot as u64;
    let limit = raise_descriptor_limit(Some(need))?;
    // A newborn has it, too.
    let own = &mut host.rlimits[libc::RLIMIT_NOFILE as usize];
    if *own != (limit, limit) {
        *own = (limit, limit);
        plan = plan::plan(&records, &host).map_err(Error::Conflict)?;
    }
    if need > limit {
        return Err(Error::Conflict(format!(
            "needs {need} descriptors at a time, and the hard limit is {limit} (`ulimit -Hn`): raise it, or restart with CAP_SYS_RESOURCE"
        )));
    }
    Ok(Prepared { reader, records, accepted, plan, restorer, begin })
}

fn check_pids(records: &Records) -> Result<()> {
    let tids = records.alive().flat_map(|(_, a)| a.threads.iter().map(|t| t.tid));
    for tid in tids.chain(records.processes.iter().map(|p| p.pid)) {
        match read_stat(tid)? {
            None => {}
            Some(stat) if stat.state == 'Z' => {
                let parent = stat.ppid;
                let what =
                    format!("pid {tid} is in use by a zombie that its parent {parent} has not waited for");
                return Err(Error::Conflict(what));
            }
            Some(stat) => return Err(Error::Conflict(format!("pid {tid} is in use by {}", stat.comm))),
        }
    }
    Ok(())
}

fn check_machine(records: &Records, host: &Host) -> Result<()> {
    if let Some(why) = plan::special_mismatch(records, host) {
        return Err(Error::Conflict(why));
    }
    let own = vdso_digest(host)?;
    for (process, alive) in records.alive() {
        if alive.memory.vdso.is_some() && alive.memory.vdso != own {
            return Err(Error::Conflict(format!("pid {}: the running kernel has another vdso", process.pid)));
        }
    }
    Ok(())
}

fn vdso_digest(host: &Host) -> Result<Option<u64>> {
    let vdso = host.special.iter().find(|(name, ..)| name == memory::VDSO);
    let own = std::process::id() as i32;
    vdso.map(|(_, start, len)| memory::vdso_digest(own, *start..start + len)).transpose()
}

/// Looks at ourselves: what a fork of us will have.
fn host(records: &Records, accepted: &[Option<Accepted>]) -> Result<Host> {
    let pid = std::process::id() as i32;
    let text = std::fs::read_to_string("/proc/self/maps").context(|| "read /proc/self/maps")?;
    let (mut special, mut busy) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let parsed = range
            .and_then(|(a, b)| Some((u64::from_str_radix(a, 16).ok()?, u64::from_str_radix(b, 16).ok()?)));
        let Some((start, end)) = parsed else { continue };
        if start >= sys::task_size() {
            continue;
        }
        busy.push(start..end);
        if let Some(name) = line.split_ascii_whitespace().nth(5)
            && (name == "[vdso]" || name.starts_with("[vvar"))
        {
            special.push((name.to_string(), start, end - start));
        }
    }
    let status = thread::status(pid, pid)?;
    let securebits = sys::prctl(libc::PR_GET_SECUREBITS, [0; 4]).context(|| "read securebits")? as u32;
    let rlimits =
        (0..process::RLIMITS).map(|r| task::rlimit(pid, r).context(|| format!("read resource limit {r}")));
    Ok(Host {
        special,
        busy,
        task_size: sys::task_size(),
        creds: Creds::of_status(&status, securebits, 0)?,
        rlimits: rlimits.collect::<Result<_>>()?,
        timer_ids_by_wish: timer::restore_ids_available(),
        first_slot: first_slot(records)?,
        cut_back: changes::to_cut_back(accepted),
    })
}

/// The first descriptor that the engine never has for itself: while it opens files it has both ends of a pipe, or what else belongs to one
/// inode, and all unlinked directories.
fn first_slot(records: &Records) -> Result<i32> {
    const PASSING: i32 = 10;
    let own = crate::resource::file::numbers(std::process::id() as i32)?.last().copied().unwrap_or(0);
    let kept = |inode: &&Inode| inode.unlinked.is_some() && inode.kind == InodeKind::Directory;
    const EACH: i32 = 3;
    let forbidding = |inode: &&Inode| inode.unlinked.as_ref().is_some_and(|unlinked| unlinked.flags != 0);
    let count = |which: &dyn Fn(&&Inode) -> bool| records.inodes.iter().filter(which).count() as i32;
    Ok(own + PASSING + EACH * count(&kept) + count(&forbidding))
}

/// Raises the limit of descriptors to the hard one, and that one to what is needed, where we may; returns it. A newborn has its own from the
/// plan.
fn raise_descriptor_limit(need: Option<u64>) -> Result<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context(|| "raise limit of open files")?;
    if let (Some(need), Some(maximum)) = (need, limit.maximum)
        && need > maximum
    {
        let higher = rustix::process::Rlimit { current: Some(need), maximum: Some(need) };
        // Without CAP_SYS_RESOURCE it stays as it is, which the caller tells.
        if setrlimit(Resource::Nofile, higher).is_ok() {
            return Ok(need);
        }
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// A process on its way.
struct Work {
    threads: HashMap<i32, Tracee>,
    scratch: Scratch,
}

/// Carries out the plan. Whatever was made is killed and removed when a step fails, or when we are killed: until their release, all
/// tasks are tied to us by `PTRACE_O_EXITKILL`.
///
/// # Errors
/// The step that failed, by pid and call.
pub fn carry_out(prepared: Prepared) -> Result<Report> {
    let Prepared { reader, records, accepted, plan, restorer, begin } = prepared;
    restorer?;
    arch::prepare_restart();
    // What a helper leaves behind is adopted by us, as it would have been by init.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, [1, 0, 0, 0]).context(|| "become subreaper")?;
    let mut site = Site::new(&records, plan.scratch);
    let mut opened = Opened::new(&records, &reader, accepted);
    opened.place(reader.file(), plan.context_slot)?;
    match site.take_all(&plan.steps, &plan, &mut opened) {
        Ok(()) => {}
        Err(err) => {
            site.undo();
            return Err(err);
        }
    }
    let total_ns = begin.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
    Ok(Report { pid: records.root, tasks: records.tasks(), total_ns })
}

struct Site<'a> {
    alive: HashMap<i32, &'a Alive>,
    /// Signals that will be pending for a thread, by its id.
    pending: HashMap<i32, u64>,
    works: HashMap<i32, Work>,
    scratch: RemoteAddr,
}

impl<'a> Site<'a> {
    fn new(records: &'a Records, scratch: RemoteAddr) -> Self {
        let mut pending = HashMap::new();
        for (_, alive) in records.alive() {
            let all = signal::pending_set(&alive.pending);
            let each = alive.threads.iter().map(|t| (t.tid, all | signal::pending_set(&t.pending)));
            pending.extend(each);
        }
        let alive = records.alive().map(|(process, alive)| (process.pid, alive)).collect();
        Site { alive, pending, works: HashMap::new(), scratch }
    }

    fn take_all(&mut self, steps: &[Step], plan: &Plan, opened: &mut Opened<'_>) -> Result<()> {
        for step in steps {
            match step {
                Step::MakeShared { object, slot } => opened.make_shared(*object, *slot)?,
                Step::MakeInode { inode } => opened.make_inode(*inode)?,
                Step::Open { file, slot } => opened.open(*file, *slot)?,
                Step::RemoveDirectories => opened.remove_directories()?,
                Step::FinishInode { inode } => opened.finish_inode(*inode)?,
                Step::CutBack { inode } => opened.cut_back(*inode)?,
                Step::Bear { pid, exit_signal } => self.bear(*pid, *exit_signal)?,
                Step::Run { pid, tid, program, born, .. } => {
                    self.run(*pid, *tid, program)?;
                    born.iter().try_for_each(|newborn| self.adopt(*newborn, *pid))?;
                }
                Step::End { pid, program, status } => self.end(*pid, program, *status)?,
                Step::Reap { pid } => self.reap(*pid)?,
                Step::Stop { pid, signal } => self.stop(*pid, *signal)?,
                Step::ResetTimes => opened.reset_times(&plan.file_slots)?,
                Step::SetOwners => opened.set_owners(&plan.file_slots)?,
                Step::Settle { pid } => self.settle(*pid)?,
                Step::Release => {
                    opened.close_slots();
                    self.release()?;
                }
            }
        }
        Ok(())
    }

    fn pending_of(&self, tid: i32) -> u64 {
        self.pending.get(&tid).copied().unwrap_or(0)
    }

    fn bear(&mut self, pid: i32, exit_signal: i32) -> Result<()> {
        match clone::fork_sleeper(pid, exit_signal) {
            Err(err) if err.raw_os_error() == Some(libc::EEXIST) => {
                return Err(Error::Conflict(format!("pid {pid} is in use")));
            }
            other => other.context(|| format!("bear process {pid}"))?,
        }
        ptrace::seize(pid, ptrace::SYSGOOD | ptrace::EXITKILL).context(|| format!("seize {pid}"))?;
        ptrace::interrupt(pid).context(|| format!("interrupt {pid}"))?;
        let mut tracee = await_birth(pid, pid, self.pending_of(pid))?;
        let scratch = Scratch::map(&mut tracee, Code::find(pid)?, Some(self.scratch))?;
        self.works.insert(pid, Work { threads: HashMap::from([(pid, tracee)]), scratch });
        if let Some(rseq) = self.inherited_rseq(pid)? {
            let mut program = Program::new();
            rseq.unregister(&mut program);
            self.run(pid, pid, &program)?;
        }
        Ok(())
    }

    /// The engine's own rseq area, which its fork has inherited.
    fn inherited_rseq(&mut self, pid: i32) -> Result<Option<Rseq>> {
        if rseq::kernel_tells(pid) {
            return rseq::capture(pid);
        }
        let work = self.works.get_mut(&pid).expect("just born");
        let tracee = work.threads.get_mut(&pid).expect("just born");
        let mut program = Program::new();
        let asked = AskRseq::ask(&mut program, tracee.thread_pointer()?);
        let outcome = tracee.run(&work.scratch, &program)?;
        asked.answer(&outcome, pid)
    }

    /// Takes over a task that a program has borne; a process inherits its parent's scratch range.
    fn adopt(&mut self, newborn: Newborn, parent: i32) -> Result<()> {
        let Newborn { pid, tid } = newborn;
        let tracee = await_birth(pid, tid, self.pending_of(tid))?;
        let scratch = self.works[&parent].scratch;
        self.works
            .entry(pid)
            .or_insert_with(|| Work { threads: HashMap::new(), scratch })
            .threads
            .insert(tid, tracee);
        Ok(())
    }

    fn run(&mut self, pid: i32, tid: i32, program: &Program) -> Result<()> {
        let work = self.works.get_mut(&pid).expect("the plan bears before it runs");
        let tracee = work.threads.get_mut(&tid).expect("the plan bears before it runs");
        match tracee.run(&work.scratch, program) {
            Err(Error::Failed { what, source }) if source.raw_os_error() == Some(libc::EEXIST) => {
                Err(Error::Conflict(format!("{what}: in use")))
            }
            other => other.map(drop),
        }
    }

    fn end(&mut self, pid: i32, program: &Program, status: i32) -> Result<()> {
        if !program.is_empty() {
            self.run(pid, pid, program)?;
        }
        let mut work = self.works.remove(&pid).expect("the plan bears before it ends");
        let tracee = work.threads.get_mut(&pid).expect("a process has its leader");
        tracee.end(&work.scratch, status)
    }

    fn reap(&mut self, pid: i32) -> Result<()> {
        // The tracer's wait has reaped it already when the engine is its parent; __WALL tells.
        match wait::poll(pid) {
            Ok(_) => Ok(()),
            Err(err) if err.raw_os_error() == Some(libc::ECHILD) => Ok(()),
            Err(err) => Err(err).context(|| format!("wait for helper {pid}")),
        }
    }

    fn stop(&mut self, pid: i32, signal: i32) -> Result<()> {
        let work = self.works.get_mut(&pid).expect("the plan bears before it stops");
        let leader = work.threads.get_mut(&pid).expect("a process has its leader");
        leader.enter_group_stop(signal)?;
        work.threads.values_mut().filter(|t| t.tid != pid).try_for_each(Tracee::join_group_stop)
    }

    /// Everything but letting go.
    fn settle(&mut self, pid: i32) -> Result<()> {
        let alive = self.alive[&pid];
        let work = self.works.get_mut(&pid).expect("the plan bears before it settles");
        let leader = work.threads.get_mut(&pid).expect("a process has its leader");
        Scratch::at(work.scratch.stub(), Code::find(pid)?).unmap(leader)?;
        alive.memory.tags.iter().try_for_each(|tags| tags.rebuild(pid))?;
        process::set_oom_score_adj(pid, alive.oom_score_adj)?;
        process::set_coredump_filter(pid, alive.coredump_filter)?;
        for thread in &alive.threads {
            thread.rebuild_scheduling()?;
            thread.rebuild_extended()?;
            let tracee = work.threads.get_mut(&thread.tid).expect("the plan bears all threads");
            tracee.regs = thread.regs;
            tracee.mask = thread.sigmask;
            tracee.mark_disturbed();
            tracee.settle()?;
        }
        Ok(())
    }

    /// Has every thread that slept go on with the time that was left, where the module is there to do that. Elsewhere, and where the module
    /// refuses, the call is made again, as the registers are.
    fn continue_sleeps(&mut self) {
        let sleeping = |thread: &&Thread| thread.sleep.is_some();
        if !self.alive.values().any(|alive| alive.threads.iter().any(|thread| sleeping(&thread))) {
            return;
        }
        let Some(device) = source::continuing() else { return };
        for (pid, alive) in &self.alive {
            let work = self.works.get_mut(pid).expect("the plan bears all processes");
            for thread in alive.threads.iter().filter(sleeping) {
                let tracee = work.threads.get_mut(&thread.tid).expect("the plan bears all threads");
                let by_block = thread.sleep.is_some_and(|sleep| {
                    device.proceed(sleep.request(thread.tid)).is_ok() && sleep.call.has_restart_block()
                });
                if by_block {
                    tracee.regs = tracee.regs.with_restart_block();
                    tracee.mark_disturbed();
                }
            }
        }
    }

    fn release(&mut self) -> Result<()> {
        self.continue_sleeps();
        let works = std::mem::take(&mut self.works);
        let mut tracees: Vec<Tracee> = works.into_values().flat_map(|w| w.threads.into_values()).collect();
        // A failure before this loop takes everybody along; after it, nobody.
        for tracee in &tracees {
            ptrace::set_options(tracee.tid, ptrace::SYSGOOD).context(|| format!("untie {}", tracee.tid))?;
        }
        tracees.sort_by_key(|t| (t.pid, t.tid));
        tracees.into_iter().try_for_each(Tracee::detach)
    }

    /// Kills what was made.
    fn undo(&mut self) {
        for (pid, work) in self.works.drain() {
            // What is gone already needs no killing.
            let _ = sys::guard::kill(pid, libc::SIGKILL);
            wait::await_ends(pid, work.threads.into_keys());
        }
    }
}

/// Waits for the first stop of a new tracee.
fn await_birth(pid: i32, tid: i32, pending: u64) -> Result<Tracee> {
    match wait::wait(tid).context(|| format!("wait for birth of {tid}"))? {
        Stop::Interrupted | Stop::Group(_) => Tracee::adopt(pid, tid, None, pending),
        stop => Err(Error::Failed {
            what: format!("bear {tid}"),
            source: std::io::Error::other(format!("unexpected stop {stop:?}")),
        }),
    }
}
