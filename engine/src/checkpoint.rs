//! The story of a checkpoint: stop, look, refuse or ask, copy, let go, write.

use crate::error::{Context, Error, Problems, Result};
use crate::image::{self, Origin, Writer};
use crate::remote::{Arg, Program};
use crate::resource::file::{self, Fd};
use crate::resource::inode::Found;
use crate::resource::mapping::{self, Tables};
use crate::resource::memory::{self, Backing, Memory, Vma, VmaFlag};
use crate::resource::pages::{self, Owner, Teller};
use crate::resource::pkey::AskKeys;
use crate::resource::process::{self, Alive, AskRlimits, AskStops, Life, Process, State, Zombie};
use crate::resource::signal::{self, AskActions, AskNumber};
use crate::resource::thread::{self, AskThread};
use crate::resource::timer::{self, AskIntervalTimers, AskPosixTimers, Notify, PosixTimer};
use crate::resource::{Records, bytes::PathBytes, identity, rseq, tags};
use crate::source::{self, Source, Wanted};
use crate::sys::kmod::Device;
use crate::tree::{Frozen, Holder, Scope, Task, alone};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Whom to look at, and how.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Whom.
    pub scope: Scope,
    /// Where the state is to come from.
    pub source: Wanted,
    /// Also what a tracer traces; only the module can.
    pub traced: bool,
}

/// How to checkpoint.
pub struct Options<'a> {
    /// Whom.
    pub target: Target,
    /// Into which file.
    pub file: PathBuf,
    /// Kill what was checkpointed, once the file is safe.
    pub kill: bool,
    /// Whether to wait for the disk.
    pub sync: image::Sync,
    /// Told of bytes copied and bytes in all.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
    /// Asked whether to give up.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// What a checkpoint did.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The context file.
    pub file: PathBuf,
    /// The process asked for.
    pub pid: i32,
    /// Where the state came from.
    pub source: Source,
    /// Threads and zombies saved.
    pub tasks: usize,
    /// Size of the file.
    pub bytes: u64,
    /// From the first thread stopped to the last one released; up to the kill, when there was one. Of the last stop, if there were several.
    pub pause_ns: u64,
    /// All of it.
    pub total_ns: u64,
}

/// Checkpoints what is in scope.
///
/// # Errors
/// Every kind; the target runs on and no file is left, unless the last step, the kill, is what failed.
pub fn checkpoint(options: &Options<'_>) -> Result<Report> {
    let begin = Instant::now();
    source::become_restorer()?;
    options.target.source.attempt(|device| attempt(options, device, begin))
}

fn attempt(options: &Options<'_>, device: Option<Arc<Device>>, begin: Instant) -> Result<Report> {
    let source = Source::of(device.as_ref());
    let pid = options.target.scope.id();
    let failed = |source| Error::of_image(&options.file, source);
    let writer = Writer::create(&options.file, Origin::here(), source.frame_sum()).map_err(failed)?;
    let (mut frozen, survey) = stop_and_look(options.target, device, options.cancelled)?;
    let mut records = save(options, survey, &mut frozen, &writer).map_err(|err| frozen.blame(err))?;
    let since = frozen.since;
    let (written, pause) = if options.kill {
        identity::learn_contents(&mut records.inodes);
        let written = writer.finish(&records, options.sync).map_err(failed)?;
        let pause = since.elapsed();
        frozen.kill()?;
        (written, pause)
    } else {
        frozen.thaw()?;
        let pause = since.elapsed();
        identity::learn_contents(&mut records.inodes);
        (writer.finish(&records, options.sync).map_err(failed)?, pause)
    };
    Ok(Report {
        file: options.file.clone(),
        pid,
        source,
        tasks: records.tasks(),
        bytes: written.bytes,
        pause_ns: nanos(pause),
        total_ns: nanos(begin.elapsed()),
    })
}

/// The longest nap before what is only there for a moment is looked for once more; half a second in all, and ten looks.
const LONGEST_NAP: Duration = Duration::from_millis(256);

/// Stops, looks and refuses. When all that is in the way is such that a program will soon be done with it, the program is let go to be.
fn stop_and_look(
    target: Target,
    device: Option<Arc<Device>>,
    cancelled: &dyn Fn() -> bool,
) -> Result<(Frozen, Survey)> {
    let holder = device.map(|device| Holder { device, traced: target.traced });
    let mut nap = Duration::from_millis(1);
    loop {
        let frozen = Frozen::freeze(target.scope, holder.clone(), cancelled)?;
        match Survey::of(&frozen).and_then(Survey::accept) {
            Ok(survey) => return Ok((frozen, survey)),
            Err(Error::Unsupported(problems)) if !problems.lasting && nap <= LONGEST_NAP => frozen.thaw()?,
            Err(err) => return Err(frozen.blame(err)),
        }
        std::thread::sleep(nap);
        nap *= 2;
    }
}

/// Asks and copies.
fn save(options: &Options<'_>, survey: Survey, frozen: &mut Frozen, writer: &Writer) -> Result<Records> {
    let interviewed = survey.interview(frozen, options.target.scope)?;
    let (done, all) = (AtomicU64::new(0), interviewed.tables.copying.bytes());
    let progress = options.progress;
    let copied = |bytes| progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes, all);
    let contents = interviewed.tables.copying.run(writer.pages(), &copied)?;
    let records = interviewed.complete(contents);
    #[cfg(feature = "planted-faults")]
    let records = {
        let mut records = records;
        crate::fault::commit(&mut records);
        records
    };
    if (options.cancelled)() { Err(Error::Interrupted) } else { Ok(records) }
}

/// What a check found.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    /// Where the state would come from.
    pub source: Source,
    /// Threads and zombies.
    pub tasks: usize,
}

/// Finds out what would stop a checkpoint, without changing anything.
///
/// # Errors
/// *unsupported* with all the reasons; else as [`checkpoint`].
pub fn check(target: Target, cancelled: &dyn Fn() -> bool) -> Result<Checked> {
    source::become_restorer()?;
    target.source.attempt(|device| {
        let source = Source::of(device.as_ref());
        let (mut frozen, survey) = stop_and_look(target, device, cancelled)?;
        let tasks = frozen.tasks.iter().map(|t| t.threads.len().max(1)).sum();
        match source {
            // To ask it more would take code in the target.
            Source::Ptrace => drop(survey),
            Source::Kmod => {
                survey.interview(&mut frozen, target.scope).map_err(|err| frozen.blame(err))?;
            }
        }
        frozen.thaw()?;
        Ok(Checked { source, tasks })
    })
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// What can be seen without touching the target.
struct Survey {
    tables: Tables,
    found: Vec<Seen>,
    problems: Problems,
}

/// What can be seen of one process.
enum Seen {
    Zombie,
    Alive(Box<SeenAlive>),
}

struct SeenAlive {
    vmas: Vec<(Vma, bool)>,
    pages: Owner,
    tagged: Vec<pages::Range>,
    fds: Vec<Fd>,
    cwd: usize,
    root: Option<usize>,
    exe: usize,
    timers: Vec<PosixTimer>,
}

impl Survey {
    fn of(frozen: &Frozen) -> Result<Self> {
        let mut survey =
            Survey { tables: Tables::default(), found: Vec::new(), problems: Problems::default() };
        survey.problems.extend(alone::problems(&frozen.tasks)?);
        let teller = Teller::probe();
        for task in &frozen.tasks {
            let seen = if task.threads.is_empty() {
                Seen::Zombie
            } else {
                match survey.look_at(task, teller) {
                    Ok(seen) => Seen::Alive(Box::new(seen)),
                    Err(Error::Unsupported(why)) => {
                        survey.problems.extend(why);
                        Seen::Zombie
                    }
                    Err(other) => return Err(other),
                }
            };
            survey.found.push(seen);
        }
        if let Err(errors) = survey.tables.files.capture_pipes(&mut survey.tables.inodes) {
            for err in errors {
                match err {
                    Error::Unsupported(why) => survey.problems.extend(why),
                    other => return Err(other),
                }
            }
        }
        Ok(survey)
    }

    /// Refuses when there is a reason.
    fn accept(self) -> Result<Self> {
        if self.problems.reasons.is_empty() { Ok(self) } else { Err(Error::Unsupported(self.problems)) }
    }

    fn look_at(&mut self, task: &Task, teller: Teller) -> Result<SeenAlive> {
        let pid = task.pid;
        let tables = &mut self.tables;
        let mappings = mapping::capture(pid, tables)?;
        self.problems.extend(mappings.problems);
        let mut vmas = mappings.vmas;
        let pages = tables.copying.owner();
        let mut tagged =
            pages::gather(pid, task.device.clone(), &mut vmas, teller, pages, &mut tables.copying)?;
        let shared = vmas.iter().filter(|(vma, _)| vma.flags.contains(&VmaFlag::Tagged));
        tagged.extend(shared.flat_map(|(vma, _)| tables.shared.populated_in(vma)));
        tagged.sort_by_key(|range| range.start);
        let pidfd = pidfd_open(Pid::from_raw(pid).expect("positive"), PidfdFlags::empty())
            .context(|| format!("open pidfd of {pid}"))?;
        let mut fds = Vec::new();
        for fd in file::numbers(pid)? {
            use std::os::fd::AsFd;
            match tables.files.add_fd(pidfd.as_fd(), pid, fd, &mut tables.inodes, &mut tables.copying) {
                Ok(fd) => fds.push(fd),
                Err(Error::Unsupported(why)) => self.problems.extend(why),
                Err(other) => return Err(other),
            }
        }
        let mut opened = |name: &str, flags: i32| -> Result<usize> {
            let link = format!("/proc/{pid}/{name}");
            let who = format!("pid {pid}: {name}");
            let inode = tables
                .inodes
                .add(&Found { link: Path::new(&link), who: &who, fd: None }, &mut tables.copying)?;
            Ok(tables.files.add_opened(inode, flags))
        };
        let cwd = opened("cwd", libc::O_PATH | libc::O_DIRECTORY)?;
        let root_link = |pid: &str| {
            std::fs::metadata(format!("/proc/{pid}/root")).context(|| format!("stat root of {pid}"))
        };
        let same_root = {
            use std::os::unix::fs::MetadataExt;
            let (theirs, ours) = (root_link(&pid.to_string())?, root_link("self")?);
            (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino())
        };
        let root = if same_root { None } else { Some(opened("root", libc::O_PATH | libc::O_DIRECTORY)?) };
        let exe = opened("exe", libc::O_RDONLY)?;
        let timers = std::fs::read_to_string(format!("/proc/{pid}/timers"))
            .context(|| format!("read /proc/{pid}/timers (needs CONFIG_CHECKPOINT_RESTORE)"))?;
        Ok(SeenAlive { vmas, pages, tagged, fds, cwd, root, exe, timers: timer::parse(pid, &timers)? })
    }

    /// Asks every thread what only it can tell.
    fn interview(self, frozen: &mut Frozen, scope: Scope) -> Result<Interviewed> {
        let in_scope: HashSet<i32> = frozen.tasks.iter().map(|t| t.pid).collect();
        let mut stopped: HashMap<i32, Vec<i32>> = HashMap::new();
        for task in frozen.tasks.iter().filter(|t| t.group_stop().is_some()) {
            stopped.entry(task.stat.ppid).or_default().push(task.pid);
        }
        // Parents come before children.
        let mut reported = HashMap::new();
        let mut processes = Vec::new();
        let mut owners = Vec::new();
        for (task, seen) in frozen.tasks.iter_mut().zip(self.found) {
            let stat = &task.stat;
            let inside = |id: i32, leader: bool| if leader || in_scope.contains(&id) { id } else { 0 };
            let (pid, ppid) = (task.pid, inside(stat.ppid, false));
            let (pgid, sid) = (stat.pgrp, stat.session);
            let exit_signal = stat.exit_signal.unwrap_or(libc::SIGCHLD);
            let life = match seen {
                Seen::Zombie => {
                    let status = stat.exit_code.unwrap_or(0);
                    owners.push(None);
                    Life::Zombie(Zombie { status, comm: PathBytes(stat.comm.clone().into_bytes()) })
                }
                Seen::Alive(seen) => {
                    owners.push(Some(seen.pages));
                    let children = stopped.get(&pid).map_or(&[][..], Vec::as_slice);
                    let mut alive = ask(task, *seen, children, &mut reported)?;
                    if let State::Stopped { reported: told, .. } = &mut alive.state {
                        *told = reported.get(&pid).copied().unwrap_or(false);
                    }
                    Life::Alive(Box::new(alive))
                }
            };
            processes.push(Process { pid, ppid, pgid, sid, exit_signal, life });
        }
        Ok(Interviewed { root: scope.id(), processes, owners, tables: self.tables })
    }
}

/// Everything but the contents.
struct Interviewed {
    root: i32,
    processes: Vec<Process>,
    owners: Vec<Option<Owner>>,
    tables: Tables,
}

impl Interviewed {
    fn complete(mut self, mut contents: Vec<Vec<pages::Extent>>) -> Records {
        let mut take = |owner: Owner| std::mem::take(&mut contents[owner.index()]);
        for (process, owner) in self.processes.iter_mut().zip(&self.owners) {
            if let (Life::Alive(alive), Some(owner)) = (&mut process.life, owner) {
                alive.memory.pages = take(*owner);
            }
        }
        Records {
            root: self.root,
            processes: self.processes,
            files: self.tables.files.finish(),
            inodes: self.tables.inodes.finish(&mut take),
            shared: self.tables.shared.finish(&mut take),
        }
    }
}

/// The questions of a process and its threads: one program for each thread.
fn ask(
    task: &mut Task,
    seen: SeenAlive,
    stopped: &[i32],
    reported: &mut HashMap<i32, bool>,
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
    let stat = task.stat.clone();
    let group_stop = task.group_stop();
    // Before anything of ours runs in them: the kernel would forget what they were in.
    for thread in &mut task.threads {
        rseq::abort_critical_section(thread, rseq_unknown)?;
    }

    let mut program = Program::new();
    let ask_thread = AskThread::ask(&mut program, &task.threads[0], rseq_unknown)?;
    let actions = AskActions::ask(&mut program);
    let interval = AskIntervalTimers::ask(&mut program);
    let rlimits = AskRlimits::ask(&mut program);
    let posix = AskPosixTimers::ask(&mut program, seen.timers);
    let keys = AskKeys::ask(&mut program);
    let brk = AskNumber::ask(&mut program, libc::SYS_brk, &[Arg::Imm(0)], "read end of heap");
    let prctl = |program: &mut Program, option: i32, what: &str| {
        let args = [option.into(), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
        AskNumber::ask(program, libc::SYS_prctl, &args, what)
    };
    let dumpable = prctl(&mut program, libc::PR_GET_DUMPABLE, "read dumpable");
    let thp = prctl(&mut program, libc::PR_GET_THP_DISABLE, "read THP setting");
    let subreaper = program.out(4);
    program.must(libc::SYS_prctl, &[libc::PR_GET_CHILD_SUBREAPER.into(), subreaper.into()], "read subreaper");
    let stops = AskStops::ask(&mut program, stopped);
    let outcome = task.ask(0, &program)?;

    reported.extend(stops.answer(&outcome));
    let first = ask_thread.answer(&outcome, &task.threads[0])?;
    let is_vdso = |v: &Vma| matches!(&v.backing, Backing::Special { name } if name == memory::VDSO);
    let vdso = seen.vmas.iter().find(|(vma, _)| is_vdso(vma));
    let vdso = vdso.map(|(vma, _)| memory::vdso_digest(pid, vma.start..vma.end)).transpose()?;
    let scratch = task.scratch()?;
    let lock_future = memory::lock_future(&task.threads[0], scratch)?;
    let mut threads = vec![first];
    for at in 1..task.threads.len() {
        let mut program = Program::new();
        let asked = AskThread::ask(&mut program, &task.threads[at], rseq_unknown)?;
        let outcome = task.ask(at, &program)?;
        threads.push(asked.answer(&outcome, &task.threads[at])?);
    }
    let status = thread::status(pid, pid)?;
    let pending = signal::capture_pending(&task.threads[0], true, status.shdpnd)?;
    let (mut interval_timers, mut posix_timers) = (interval.answer(&outcome), posix.answer(&outcome));
    let after: Vec<_> = pending.iter().chain(threads.iter().flat_map(|t| &t.pending)).cloned().collect();
    timer::reconcile(&before, &after, &mut interval_timers, &mut posix_timers);

    let brk = brk.answer(&outcome).unwrap_or(0) as u64;
    Ok(Alive {
        state: group_stop.map_or(State::Running, |signal| State::Stopped { signal, reported: false }),
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
    })
}
