//! A restart: verify, plan, open files, create processes, restore memory and descriptors, restore
//! attributes, finalize, release.

pub mod changes;
mod graph;
mod host;
mod numbers;
pub mod open;
pub mod plan;
pub mod step;

use crate::activity;
use crate::arch;
use crate::caller::CallerState;
use crate::error::{Context, Error, Result};
use crate::image::{self, Location, Reader};
use crate::remote::{Code, Program, Scratch, Tracee};
use crate::resource::bytes::PathBytes;
use crate::resource::cgroup::{Places, Policy};
use crate::resource::clock::Clocks;
use crate::resource::fd::external::{self, Replacement};
use crate::resource::fd::socket::moved::{self, Moved};
use crate::resource::fd::socket::peer;
use crate::resource::fd::tcp_outside::Leaving;
use crate::resource::fd::terminal;
use crate::resource::process::{self, Alive};
use crate::resource::thread::rseq;
use crate::resource::thread::rseq::AskRseq;
use crate::resource::thread::{Rseq, Thread};
use crate::resource::validate::{self, Bounds};
use crate::resource::{Records, signal};
use crate::source;
use crate::sys::RemoteAddr;
use crate::sys::wait;
use crate::sys::{self, clone, ptrace};
use crate::tree::creation::StandIn;
use changes::{Accepted, Changes};
use open::Opened;
use plan::Plan;
use serde::Serialize;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use step::{NewTask, Step};

/// Options of a restart.
pub struct Options<'a> {
    /// Where to read the context file from.
    pub from: Location,
    /// Whether the restarted tree is reparented to init or a subreaper.
    pub detach: bool,
    /// The session and process group of processes whose own lie outside the saved tree.
    pub session: Session,
    /// Whether this process is the init of a PID namespace made for the job: its other numbers keep
    /// away from the job's.
    pub own_pidns: bool,
    /// How long to wait for the parent of a zombie that holds a needed PID to reap it.
    pub patience: Duration,
    /// What becomes of the job's control groups.
    pub cgroups: Policy,
    /// Restart even where the monotonic clocks are behind those of the checkpoint.
    pub ignore_clocks: bool,
    /// Called with the bytes verified so far and the total.
    pub progress: &'a dyn Fn(u64, u64),
    /// The user's decisions about files that have changed.
    pub changes: Changes,
    /// Whether TCP connections to outside are reset.
    pub tcp_close: bool,
    /// Other addresses for the job's sockets.
    pub map_ip: Vec<Moved>,
    /// What takes the place of files that the checkpoint left outside.
    pub external: Vec<(PathBytes, Replacement)>,
    /// The caller's terminal, which takes the place of the job's.
    pub terminal: Option<Arc<OwnedFd>>,
    /// Called with a message about what the restart is waiting for.
    pub tell: &'a dyn Fn(&str),
}

impl Options<'_> {
    /// Restarts from this file as the parent of the tree, with default options.
    pub fn of(from: impl Into<Location>) -> Self {
        Options {
            from: from.into(),
            detach: false,
            session: Session::Join,
            own_pidns: false,
            patience: Duration::from_secs(10),
            cgroups: Policy::Leave,
            ignore_clocks: false,
            changes: Changes::default(),
            tcp_close: false,
            map_ip: Vec::new(),
            external: Vec::new(),
            terminal: None,
            progress: &|_, _| {},
            tell: &|_| {},
        }
    }
}

/// Session and process group of processes whose own lie outside the saved tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// Those of the engine.
    Join,
    /// A new session.
    New,
}

/// The parent and session of processes that have no parent in the records.
#[derive(Debug, Clone, Copy)]
struct Home {
    detach: bool,
    session: Session,
}

impl Home {
    fn stand_in(self, records: &Records) -> Result<Option<StandIn>> {
        let begins_session = self.session == Session::New;
        if !self.detach && !begins_session {
            return Ok(None);
        }
        Ok(Some(StandIn { pid: numbers::spare(records)?, begins_session }))
    }
}

/// The result of a restart.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// PID of the root process.
    pub pid: i32,
    /// PIDs of all processes whose parent is outside: the root, or the members of a group or
    /// session.
    pub tops: Vec<i32>,
    /// Number of threads and zombies.
    pub tasks: usize,
    /// Total duration in nanoseconds.
    pub total_ns: u64,
    /// PID of the init of the job's own PID namespace, if it has one. All PIDs are then those of
    /// the namespace of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<i32>,
}

/// A context file that has been verified, and the plan for it.
pub struct Prepared {
    reader: Reader,
    /// The records of the file.
    pub records: Records,
    /// Named inodes that [`changes::check`] accepted, by index.
    accepted: Vec<Option<Accepted>>,
    /// The steps to carry out.
    pub plan: Plan,
    /// Whether CAP_CHECKPOINT_RESTORE could be acquired; reported by [`carry_out`].
    capability: Result<()>,
    external: Vec<(PathBytes, Replacement)>,
    leaving: Leaving,
    detach: bool,
    /// The control groups of each task.
    places: Places,
    begin: Instant,
    /// The plan is for a process with the capabilities and limits that it has now.
    caller: CallerState,
}

/// Verifies the file and the machine and makes the plan; creates nothing.
///
/// # Errors
/// *malformed*, *conflict*, *unsupported*.
pub fn prepare(options: &Options<'_>) -> Result<Prepared> {
    let begin = Instant::now();
    let caller = CallerState::save()?;
    let failed = |source| Error::of_image(options.from.path(), source);
    let reader = Reader::open(options.from.clone()).map_err(failed)?;
    reader.check_here().map_err(failed)?;
    let mut records: Records = reader.records().map_err(failed)?;
    if options.own_pidns {
        // Before any thread is started, since its number is in use a moment longer than itself.
        numbers::keep_away(&records)?;
    }
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    let range = reader.page_range();
    let progress = |done| (options.progress)(done, range.end - range.start);
    reader.verify_pages(cpus, &progress).map_err(failed)?;
    let bounds = Bounds { page: sys::page_size(), task_size: sys::task_size(), data: range };
    validate::check(&records, &bounds).map_err(|what| {
        failed(image::Error::Damaged { section: image::Section::Records, offset: 0, what })
    })?;
    check_clocks(&records, options)?;
    numbers::await_free(&records, options.patience, options.tell)?;
    let leaving = Leaving::begin(&mut records, options.tcp_close)?;
    moved::apply(&mut records, &options.map_ip)?;
    let accepted = changes::check(&records, &options.changes)?;
    for pid in peer::taken(&records) {
        (options.tell)(&format!(
            "pid {pid} belongs to another process now: unix sockets of the job that name it as their other end (SO_PEERCRED) will name another PID"
        ));
    }
    records.inodes.iter().try_for_each(|inode| inode.kind.verbs().examine())?;
    records.segments().try_for_each(|segment| segment.is_there().map(drop))?;
    records.sysv.iter().try_for_each(|by_id| by_id.object().is_there().map(drop))?;
    let places = Places::find(&records, options.cgroups)?;
    let own = reader.file().metadata().context(|| "stat the context file")?;
    let external = terminal::with_users(&records, &options.external, options.terminal.as_ref())?;
    external::check(&records, &external, (own.dev(), own.ino()))?;
    // Before the host is examined: a new process inherits our credentials.
    let capability = source::acquire_checkpoint_capability();
    let plan = make_plan(
        &records,
        &accepted,
        Home { detach: options.detach, session: options.session },
        crate::resource::fd::table::numbers(std::process::id() as i32)?.last().copied().unwrap_or(0),
    )?;
    let detach = options.detach;
    Ok(Prepared {
        reader,
        records,
        accepted,
        plan,
        capability,
        external,
        leaving,
        detach,
        places,
        begin,
        caller,
    })
}

/// Plans a restart here and now from fresh records. Skips only what the live processes would
/// conflict with.
///
/// # Errors
/// *conflict*: what a restart would report.
pub fn rehearse(records: &Records) -> Result<()> {
    /// Descriptors open before a restart begins: standard input, output, error and the context
    /// file.
    const USED: i32 = 3;
    let bounds = Bounds { page: sys::page_size(), task_size: sys::task_size(), data: 0..u64::MAX };
    validate::check(records, &bounds).map_err(Error::Conflict)?;
    make_plan(records, &[], Home { detach: false, session: Session::Join }, USED).map(drop)
}

fn make_plan(records: &Records, accepted: &[Option<Accepted>], home: Home, used: i32) -> Result<Plan> {
    host::raise_descriptor_limit(None)?;
    let mut host = host::look(records, accepted, home, used)?;
    host::check(records, &host)?;
    let mut plan = plan::plan(records, &host).map_err(Error::Conflict)?;
    let need = plan.end_slot as u64;
    let limit = host::raise_descriptor_limit(Some(need))?;
    // A new process inherits the limit.
    let own = &mut host.rlimits[libc::RLIMIT_NOFILE as usize];
    if *own != (limit, limit) {
        *own = (limit, limit);
        plan = plan::plan(records, &host).map_err(Error::Conflict)?;
    }
    if need > limit {
        return Err(Error::Conflict(format!(
            "needs {need} descriptors at once, but the hard limit is {limit} (`ulimit -Hn`): raise it, or restart with CAP_SYS_RESOURCE"
        )));
    }
    Ok(plan)
}

/// A clock that is behind prolongs every absolute timeout by the difference and appears to run
/// backwards.
fn check_clocks(records: &Records, options: &Options<'_>) -> Result<()> {
    let behind = records.clocks.and_then(|then| Clocks::now().behind(&then));
    match behind {
        Some(seconds) if !options.ignore_clocks => Err(Error::Conflict(format!(
            "the clocks since boot (CLOCK_MONOTONIC, CLOCK_BOOTTIME) are {seconds} s behind those of the checkpoint: every absolute timeout would be that much late. Restart in a time namespace that sets them (unshare --time --monotonic {seconds} --boottime {seconds} cairn restart …), or pass --ignore-clocks"
        ))),
        _ => Ok(()),
    }
}

/// A process being restored.
struct RestoringTask {
    threads: HashMap<i32, Tracee>,
    scratch: Scratch,
}

/// Carries out the plan. If a step fails, or the engine is killed, everything created so far is
/// killed and removed: until release, `PTRACE_O_EXITKILL` ties all tasks to the engine.
///
/// # Errors
/// The step that failed, with pid and system call.
pub fn carry_out(prepared: Prepared) -> Result<Report> {
    let Prepared {
        reader,
        records,
        accepted,
        plan,
        capability,
        external,
        leaving,
        detach,
        mut places,
        begin,
        caller,
    } = prepared;
    // Restored when everything else here is gone.
    let _caller = caller;
    capability?;
    arch::prepare_restart();
    // Orphans of a helper are reparented to us, as they would have been to init. Not when
    // detaching: our exit would then send them PR_SET_PDEATHSIG.
    sys::set_subreaper(!detach).context(|| "become subreaper")?;
    places.make()?;
    let mut context = RestoreContext::new(&records, plan.scratch, &places, leaving);
    let mut opened = Opened::new(&records, &reader, accepted, &external, &plan.file_slots);
    opened.place(reader.file(), plan.context_slot)?;
    match context.take_all(&plan.steps, &mut opened) {
        Ok(()) => {}
        Err(err) => {
            context.undo();
            drop((context, opened));
            places.undo();
            return Err(err);
        }
    }
    let total_ns = begin.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
    let tops = records.processes.iter().filter(|process| process.ppid == 0).map(|process| process.pid);
    Ok(Report { pid: records.root, tops: tops.collect(), tasks: records.tasks(), total_ns, init: None })
}

struct RestoreContext<'a> {
    alive: HashMap<i32, &'a Alive>,
    /// Signals that will be pending for a thread, by tid.
    pending: HashMap<i32, u64>,
    tasks: HashMap<i32, RestoringTask>,
    scratch: RemoteAddr,
    places: &'a Places,
    /// Option of ptrace(2) that suspends seccomp filters, if the job has any; new tasks inherit it.
    suspend: i32,
    leaving: Leaving,
}

impl<'a> RestoreContext<'a> {
    fn new(records: &'a Records, scratch: RemoteAddr, places: &'a Places, leaving: Leaving) -> Self {
        let mut pending = HashMap::new();
        for (_, alive) in records.alive() {
            let all = signal::pending_set(&alive.pending);
            let each = alive.threads.iter().map(|t| (t.tid, all | signal::pending_set(&t.pending)));
            pending.extend(each);
        }
        let alive: HashMap<i32, &Alive> =
            records.alive().map(|(process, alive)| (process.pid, alive)).collect();
        let suspend = if records.has_seccomp() { ptrace::SUSPEND_SECCOMP } else { 0 };
        RestoreContext { alive, pending, tasks: HashMap::new(), scratch, places, suspend, leaving }
    }

    fn take_all(&mut self, steps: &[Step], opened: &mut Opened<'_>) -> Result<()> {
        for step in steps {
            match step {
                Step::Begin(phase) => activity::say(|| phase.to_string()),
                Step::MakeShared { object, slot } => opened.make_shared(*object, *slot)?,
                Step::FinishShared { object } => opened.finish_shared(*object)?,
                Step::MakeSysv { object } => opened.make_sysv(*object)?,
                Step::FillSysv { object } => opened.fill_sysv(*object)?,
                Step::MakeInode { inode } => opened.make_inode(*inode)?,
                Step::Open { file, slot } => opened.open(*file, *slot)?,
                Step::MakeChannel { slot } => opened.make_channel(*slot)?,
                Step::OpenLate { file } => opened.open_late(*file)?,
                Step::Move { pid, files, program } => {
                    opened.send(files)?;
                    self.run(*pid, *pid, program)?;
                }
                Step::Join(stage) => opened.join(*stage)?,
                Step::RemoveDirectories => opened.remove_directories()?,
                Step::FinishInode { inode } => opened.finish_inode(*inode)?,
                Step::CutBack { inode } => opened.cut_back(*inode)?,
                Step::Create { pid, exit_signal } => self.create(*pid, *exit_signal)?,
                Step::Run { pid, tid, program, new_tasks, .. } => {
                    self.run(*pid, *tid, program)?;
                    new_tasks.iter().try_for_each(|new_task| self.adopt(*new_task, *pid))?;
                }
                Step::End { pid, program, status, undumpable } => {
                    self.end(*pid, program, *status, *undumpable)?
                }
                Step::EndLeader { pid, program, status } => self.end_leader(*pid, program, *status)?,
                Step::Reap { pid } => self.reap(*pid)?,
                Step::Stop { pid, signal } => self.stop(*pid, *signal)?,
                Step::Continue { pid } => self.resume(*pid)?,
                Step::ResetTimes => opened.reset_times()?,
                Step::SetOwners => opened.set_owners()?,
                Step::Finalize { pid } => self.finalize(*pid)?,
                Step::Release => {
                    let connections = opened.close_slots()?;
                    self.release(&connections)?;
                    opened.keep();
                }
            }
        }
        Ok(())
    }

    fn pending_of(&self, tid: i32) -> u64 {
        self.pending.get(&tid).copied().unwrap_or(0)
    }

    fn create(&mut self, pid: i32, exit_signal: i32) -> Result<()> {
        match clone::fork_sleeper(Some(pid), exit_signal) {
            Err(err) if err.raw_os_error() == Some(libc::EEXIST) => {
                return Err(Error::Conflict(format!("pid {pid} is in use")));
            }
            other => other.context(|| format!("create process {pid}")).map(drop)?,
        }
        let mut tracee = Tracee::seize(pid, self.options(), self.pending_of(pid))?;
        let scratch = Scratch::map(&mut tracee, Code::find(pid)?, Some(self.scratch))?;
        self.tasks.insert(pid, RestoringTask { threads: HashMap::from([(pid, tracee)]), scratch });
        self.places.enter(pid, pid)?;
        if let Some(rseq) = self.inherited_rseq(pid)? {
            let mut program = Program::new();
            rseq.unregister(&mut program);
            self.run(pid, pid, &program)?;
        }
        Ok(())
    }

    /// The rseq area that the new process has inherited from the engine across fork(2).
    fn inherited_rseq(&mut self, pid: i32) -> Result<Option<Rseq>> {
        if rseq::kernel_tells(pid) {
            return rseq::capture(pid);
        }
        let task = self.tasks.get_mut(&pid).expect("just created");
        let tracee = task.threads.get_mut(&pid).expect("just created");
        let mut program = Program::new();
        let asked = AskRseq::ask(&mut program, tracee.thread_pointer()?);
        let outcome = tracee.run(&task.scratch, &program)?;
        asked.answer(&outcome, pid)
    }

    /// Seizes a task that a program has created; a process inherits its parent's scratch range.
    fn adopt(&mut self, new_task: NewTask, parent: i32) -> Result<()> {
        let NewTask { pid, tid } = new_task;
        let tracee = Tracee::await_first_stop(pid, tid, self.pending_of(tid))?;
        let scratch = self.tasks[&parent].scratch;
        self.tasks
            .entry(pid)
            .or_insert_with(|| RestoringTask { threads: HashMap::new(), scratch })
            .threads
            .insert(tid, tracee);
        self.places.enter(pid, tid)
    }

    fn run(&mut self, pid: i32, tid: i32, program: &Program) -> Result<()> {
        let task = self.tasks.get_mut(&pid).expect("the plan creates before it runs");
        let tracee = task.threads.get_mut(&tid).expect("the plan creates before it runs");
        match tracee.run(&task.scratch, program) {
            Err(Error::Failed { what, source }) if source.raw_os_error() == Some(libc::EEXIST) => {
                Err(Error::Conflict(format!("{what}: in use")))
            }
            other => other.map(drop),
        }
    }

    fn end(&mut self, pid: i32, program: &Program, status: i32, undumpable: bool) -> Result<()> {
        if !program.is_empty() {
            self.run(pid, pid, program)?;
        }
        let mut task = self.tasks.remove(&pid).expect("the plan creates before it ends");
        let tracee = task.threads.get_mut(&pid).expect("a process has its leader");
        if undumpable {
            tracee.become_undumpable()?;
        }
        tracee.end(&task.scratch, status)
    }

    fn end_leader(&mut self, pid: i32, program: &Program, status: i32) -> Result<()> {
        self.run(pid, pid, program)?;
        let task = self.tasks.get_mut(&pid).expect("the plan creates before it ends");
        let leader = task.threads.remove(&pid).expect("a process has its leader");
        leader.exit_alone(self.options(), status)
    }

    /// Options of ptrace(2) for tasks that are not released yet.
    fn options(&self) -> i32 {
        ptrace::SYSGOOD | ptrace::EXITKILL | self.suspend
    }

    fn reap(&mut self, pid: i32) -> Result<()> {
        // If the engine is the parent, the tracer's wait (__WALL) has reaped it already: ECHILD.
        match wait::poll(pid) {
            Ok(_) => Ok(()),
            Err(err) if err.raw_os_error() == Some(libc::ECHILD) => Ok(()),
            Err(err) => Err(err).context(|| format!("wait for helper {pid}")),
        }
    }

    fn stop(&mut self, pid: i32, signal: i32) -> Result<()> {
        let task = self.tasks.get_mut(&pid).expect("the plan creates before it stops");
        let leader = task.threads.get_mut(&pid).expect("a process has its leader");
        leader.enter_group_stop(signal)?;
        task.threads.values_mut().filter(|t| t.tid != pid).try_for_each(Tracee::join_group_stop)
    }

    fn resume(&mut self, pid: i32) -> Result<()> {
        let task = self.tasks.get_mut(&pid).expect("the plan creates before it continues");
        task.threads.get_mut(&pid).expect("a process has its leader").leave_group_stop()
    }

    /// Restores everything that has to come last, short of detaching.
    fn finalize(&mut self, pid: i32) -> Result<()> {
        let alive = self.alive[&pid];
        let task = self.tasks.get_mut(&pid).expect("the plan creates before it finalizes");
        // The leader may have exited.
        let by = alive.threads[0].tid;
        let first = task.threads.get_mut(&by).expect("the plan creates all threads");
        // Once for all that have the memory: none of them runs a program any more.
        if alive.memory_of.is_none() {
            Scratch::at(task.scratch.stub(), Code::find(by)?).unmap(first)?;
        }
        alive.memory.tags.iter().try_for_each(|tags| tags.rebuild(by))?;
        process::set_oom_score_adj(pid, alive.oom_score_adj)?;
        process::set_coredump_filter(by, alive.coredump_filter)?;
        if alive.session_nice != 0 {
            process::set_session_nice(pid, alive.session_nice)?;
        }
        for thread in &alive.threads {
            thread.rebuild_scheduling()?;
            thread.rebuild_extended()?;
            let tracee = task.threads.get_mut(&thread.tid).expect("the plan creates all threads");
            tracee.regs = thread.regs;
            tracee.mask = thread.sigmask;
            tracee.mark_disturbed();
            tracee.write_back()?;
        }
        Ok(())
    }

    /// Lets the module resume sleeping threads with their remaining time. Without the module, or
    /// where it refuses, the system call is restarted as the registers say.
    fn continue_sleeps(&mut self) {
        let sleeping = |thread: &&Thread| thread.sleep.is_some();
        if !self.alive.values().any(|alive| alive.threads.iter().any(|thread| sleeping(&thread))) {
            return;
        }
        let Some(device) = source::continuing() else { return };
        for (pid, alive) in &self.alive {
            let task = self.tasks.get_mut(pid).expect("the plan creates all processes");
            for thread in alive.threads.iter().filter(sleeping) {
                let tracee = task.threads.get_mut(&thread.tid).expect("the plan creates all threads");
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

    /// Lets everybody go; `connections` are those to outside, which nothing may disturb before.
    fn release(&mut self, connections: &[OwnedFd]) -> Result<()> {
        self.continue_sleeps();
        // A failure in this loop kills all tasks, including those already untied; after it, none.
        for tracee in self.tasks.values().flat_map(|task| task.threads.values()) {
            ptrace::set_options(tracee.tid, ptrace::SYSGOOD).context(|| format!("untie {}", tracee.tid))?;
        }
        let left = std::mem::take(&mut self.leaving).end(connections);
        let tasks = std::mem::take(&mut self.tasks);
        let mut tracees: Vec<Tracee> = tasks.into_values().flat_map(|w| w.threads.into_values()).collect();
        tracees.sort_by_key(|t| (t.pid, t.tid));
        // Detach all of them, even if one fails: a task that is killed from now on has been
        // released.
        let detached = tracees.into_iter().map(Tracee::detach);
        detached.filter(|result| !matches!(result, Err(Error::Vanished(_)))).fold(left, Result::and)
    }

    /// Kills every process created so far.
    fn undo(&mut self) {
        for (pid, task) in self.tasks.drain() {
            // A process that has exited needs no killing.
            let _ = sys::guard::kill(pid, libc::SIGKILL);
            wait::await_ends(pid, task.threads.into_keys());
            // A leader that has exited is no tracee any more, but may be a child of ours.
            wait::await_ends(pid, [pid]);
        }
    }
}
