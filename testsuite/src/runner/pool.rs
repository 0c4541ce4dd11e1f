//! The runner: hands cells to supervisors, several concurrently, and reports their results to the
//! host.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::personality::Persona;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::cell::Order;
use super::proc;
use crate::engine;
use crate::event::{CellOutcome, CellSpec, Event, Job, PROTOCOL};
use crate::oracle::kmsg::KernelLog;
use crate::oracle::leak::{self, Outside};
use crate::verdict::{Stage, Verdict};

/// Bytes of a file sent in one `artifact` line.
const PIECE: usize = 48 * 1024;
/// How far a supervisor may exceed its own limit before the runner kills it, unscaled.
const PATIENCE: Duration = Duration::from_secs(20);

/// Command line of the runner.
#[derive(Debug, Clone)]
pub struct Options {
    /// Path of the job file.
    pub job: PathBuf,
    /// Where events are written; `-` is standard output.
    pub events: PathBuf,
    /// Directories whose names, together with the table of mounts, must be unchanged at the end;
    /// empty on a machine that others use, too.
    pub unchanged: Vec<PathBuf>,
    /// Stop and clean up when standard input closes.
    pub watch_stdin: bool,
}

/// Errors that keep the runner from working at all.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// A failed operation on a file or pipe.
    #[error("{what}: {source}")]
    Io {
        /// The action.
        what: String,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
    /// The job file cannot be parsed.
    #[error("job: {0}")]
    Job(#[from] serde_json::Error),
    /// RLIMIT_FSIZE has a hard limit: context files could be cut, and engines killed by SIGXFSZ.
    #[error("files are limited to {0} bytes (ulimit -f); a context file may need more")]
    FileSize(u64),
    /// The job has another protocol version.
    #[error("job uses protocol {0}, this runner {PROTOCOL}")]
    Version(u32),
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> RunnerError {
    move |source| RunnerError::Io { what: what.into(), source }
}

/// Runs all cells of a job.
///
/// # Errors
/// [`RunnerError`]; a failure within a cell is that cell's verdict instead.
pub fn run(options: &Options) -> Result<(), RunnerError> {
    let text =
        fs::read_to_string(&options.job).map_err(io_error(format!("read {}", options.job.display())))?;
    let mut job: Job = serde_json::from_str(&text)?;
    if job.v != PROTOCOL {
        return Err(RunnerError::Version(job.v));
    }
    let events: Box<dyn Write + Send> = if options.events == Path::new("-") {
        Box::new(io::stdout())
    } else {
        let file = fs::OpenOptions::new()
            .append(true)
            .open(&options.events)
            .map_err(io_error(format!("open {}", options.events.display())))?;
        Box::new(file)
    };
    lift_file_size()?;
    nix::sys::prctl::set_child_subreaper(true).map_err(|errno| io_error("become subreaper")(errno.into()))?;
    fs::create_dir_all(&job.workdir).map_err(io_error(format!("make {}", job.workdir.display())))?;
    if job.fixed_addresses {
        nix::sys::personality::set(Persona::ADDR_NO_RANDOMIZE)
            .map_err(|errno| io_error("disable address space randomisation")(errno.into()))?;
    }
    let queue: VecDeque<CellSpec> = std::mem::take(&mut job.cells).into();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let slots = if job.jobs == 0 { cpus } else { job.jobs }.min(queue.len().max(1));

    let pool = Arc::new(Pool {
        job,
        events: Mutex::new(events),
        shared: Mutex::new(Shared {
            queue,
            running: BTreeMap::new(),
            stopping: false,
            log: KernelLog::open(),
        }),
    });
    if !pool.hello(cpus)? {
        return pool.say(&Event::Done);
    }
    let before = outside(&options.unchanged)?;
    if options.watch_stdin {
        let pool = Arc::clone(&pool);
        thread::spawn(move || {
            let mut sink = [0; 256];
            while matches!(io::stdin().read(&mut sink), Ok(n) if n > 0) {}
            pool.stop();
        });
    }
    let workers: Vec<_> = (0..slots)
        .map(|_| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.work())
        })
        .collect();
    let mut result = Ok(());
    for worker in workers {
        match worker.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => result = Err(error),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    if options.watch_stdin && pool.lock().stopping && !pool.job.keep {
        // The parent of this process may have exited, too.
        remove(&pool.job.workdir).map_err(io_error(format!("remove {}", pool.job.workdir.display())))?;
    }
    result?;
    if let (Some(before), Some(now)) = (before, outside(&options.unchanged)?) {
        let changes = before.changes(&now);
        if !changes.is_empty() {
            pool.say(&Event::Left { changes })?;
        }
    }
    pool.say(&Event::Done)
}

/// State outside of all cells, if it must stay unchanged.
fn outside(dirs: &[PathBuf]) -> Result<Option<Outside>, RunnerError> {
    let look = || Outside::look(dirs).map_err(io_error("record the state outside of all cells"));
    if dirs.is_empty() { Ok(None) } else { look().map(Some) }
}

/// Removes the soft limit on file size; fails if there is a hard limit.
fn lift_file_size() -> Result<(), RunnerError> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
    if let Some(most) = maximum {
        return Err(RunnerError::FileSize(most));
    }
    setrlimit(Resource::Fsize, Rlimit { current: None, maximum: None })
        .map_err(|errno| io_error("remove the limit on file sizes")(errno.into()))
}

struct Pool {
    job: Job,
    events: Mutex<Box<dyn Write + Send>>,
    shared: Mutex<Shared>,
}

struct Shared {
    queue: VecDeque<CellSpec>,
    running: BTreeMap<u32, Running>,
    stopping: bool,
    log: Option<KernelLog>,
}

struct Running {
    /// PID of the supervisor while it runs.
    pid: Option<u32>,
    /// The supervisor's standard input; closing it stops the supervisor.
    stdin: Option<ChildStdin>,
    /// Kernel log complaints while this cell ran.
    complaints: Vec<String>,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the standard input of every supervisor, so that each cleans up and exits, and starts
    /// no more cells.
    fn stop(&self) {
        let mut shared = self.lock();
        shared.stopping = true;
        shared.queue.clear();
        for running in shared.running.values_mut() {
            running.stdin = None;
        }
    }

    fn say(&self, event: &Event) -> Result<(), RunnerError> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let line = event.to_line() + "\n";
        events.write_all(line.as_bytes()).and_then(|()| events.flush()).map_err(io_error("write an event"))
    }

    /// Reports the environment and probes every engine. Returns whether all of them are usable.
    fn hello(&self, cpus: usize) -> Result<bool, RunnerError> {
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/sys/kernel/{name}")).map_err(io_error(format!("read {name}")))
        };
        let mut engines = BTreeMap::new();
        let mut refused = Vec::new();
        let limit = engine::PROBE_LIMIT.mul_f64(self.job.time_scale);
        for (name, program) in &self.job.engines {
            match engine::probe(name, program, limit) {
                Ok(version) => {
                    engines.insert(name.clone(), version);
                }
                Err(reason) => refused.push(Event::Refused { engine: name.clone(), reason }),
            }
        }
        self.say(&Event::Hello {
            release: read("osrelease")?.trim().to_owned(),
            machine: std::env::consts::ARCH.to_owned(),
            cpus,
            engines,
        })?;
        refused.iter().try_for_each(|event| self.say(event))?;
        Ok(refused.is_empty())
    }

    fn work(&self) -> Result<(), RunnerError> {
        loop {
            let spec = {
                let mut shared = self.lock();
                let Some(spec) = shared.queue.pop_front() else { return Ok(()) };
                shared.running.insert(spec.id, Running { pid: None, stdin: None, complaints: Vec::new() });
                spec
            };
            let dir = self.job.workdir.join(spec.id.to_string());
            self.say(&Event::Start { id: spec.id })?;
            let started = Instant::now();
            let mut outcome = self.run_cell(&spec, &dir);
            if outcome.duration_ms == 0 {
                outcome.duration_ms = started.elapsed().as_millis() as u64;
            }
            self.judge_log(spec.id, &mut outcome);
            if outcome.verdict.is_red() {
                self.send_files(spec.id, &dir, &mut outcome)?;
            }
            if !self.job.keep
                && let Err(error) = remove(&dir)
            {
                outcome.notes.push(format!("remove the cell's directory: {error}"));
            }
            let stopping = self.lock().stopping;
            if outcome.verdict.is_red() && self.job.fail_fast && !stopping {
                self.stop();
            }
            if !stopping {
                self.say(&Event::End { id: spec.id, outcome })?;
            }
        }
    }

    /// Starts a supervisor and waits for its outcome.
    fn run_cell(&self, spec: &CellSpec, dir: &Path) -> CellOutcome {
        let infra = |reason: String| CellOutcome::new(Verdict::Infra, Some(Stage::Start), reason);
        if let Err(error) = fs::create_dir(dir) {
            return infra(format!("make {}: {error}", dir.display()));
        }
        let order = Order { job: self.job.clone(), spec: spec.clone(), dir: dir.to_owned() };
        let order = match serde_json::to_string(&order) {
            Ok(text) => text + "\n",
            Err(error) => return infra(format!("write an order: {error}")),
        };
        // The running executable, even if its file has been replaced or removed.
        let mut supervisor = Command::new("/proc/self/exe");
        supervisor.arg0("cairn-runner").arg("supervise").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = {
            let mut shared = self.lock();
            match supervisor.spawn() {
                Ok(child) => {
                    if let Some(running) = shared.running.get_mut(&spec.id) {
                        running.pid = Some(child.id());
                    }
                    child
                }
                Err(error) => return infra(format!("start a supervisor: {error}")),
            }
        };
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return infra("a supervisor without pipes".to_owned());
        };
        if let Err(error) = stdin.write_all(order.as_bytes()) {
            eprintln!("cairn-runner: send an order: {error}");
        }
        {
            let mut shared = self.lock();
            let stopping = shared.stopping;
            if let Some(running) = shared.running.get_mut(&spec.id) {
                running.stdin = (!stopping).then_some(stdin);
            }
        }
        let mut answer = Vec::new();
        let limit = (Duration::from_millis(self.job.cell_timeout_ms) + PATIENCE)
            .mul_f64(self.job.time_scale.max(1.0));
        let mut read = read_until_closed(&stdout, &mut answer, limit);
        if matches!(read, Ok(false)) {
            // It exceeded its own deadline. Closing its standard input makes it clean up; failing
            // that, it is killed.
            if let Some(running) = self.lock().running.get_mut(&spec.id) {
                running.stdin = None;
            }
            read = read_until_closed(&stdout, &mut answer, PATIENCE);
        }
        if !matches!(read, Ok(true))
            && let Err(error) = child.kill()
        {
            eprintln!("cairn-runner: kill a supervisor: {error}");
        }
        let status = child.wait();
        if let Some(running) = self.lock().running.get_mut(&spec.id) {
            running.pid = None;
        }
        match (read, status) {
            (Ok(true), Ok(status)) => serde_json::from_slice(answer.trim_ascii()).unwrap_or_else(|_| {
                let left = self.end_orphans();
                let why = format!(
                    "the supervisor exited ({status}) without reporting the cell: the engine has killed it, or memory ran out; {left} leftover processes of the cell were killed"
                );
                CellOutcome::new(Verdict::Missing, None, why)
            }),
            (Ok(false), _) => infra("the supervisor did not exit in time and was killed".to_owned()),
            (Err(error), _) | (_, Err(error)) => infra(format!("wait for a supervisor: {error}")),
        }
    }

    /// Kills the processes that a dead supervisor left behind, which were reparented to the runner.
    /// Returns their number.
    fn end_orphans(&self) -> usize {
        let mut ended = 0;
        loop {
            let shared = self.lock();
            let supervisors: Vec<u32> = shared.running.values().filter_map(|running| running.pid).collect();
            let orphans = proc::children(std::process::id());
            let orphans: Vec<u32> = orphans.into_iter().filter(|pid| !supervisors.contains(pid)).collect();
            if orphans.is_empty() {
                return ended;
            }
            for pid in orphans {
                ended += usize::from(proc::end(pid));
            }
        }
    }

    /// Attributes new kernel log complaints to every running cell, and applies those of this one.
    fn judge_log(&self, id: u32, outcome: &mut CellOutcome) {
        let mut shared = self.lock();
        let complaints = match shared.log.as_mut().map(KernelLog::complaints) {
            None => Vec::new(),
            Some(Ok(complaints)) => complaints,
            Some(Err(error)) => {
                outcome.notes.push(format!("read the kernel log: {error}"));
                Vec::new()
            }
        };
        let company = shared.running.len();
        for running in shared.running.values_mut() {
            running.complaints.extend(complaints.iter().cloned());
        }
        let Some(running) = shared.running.remove(&id) else { return };
        if running.complaints.is_empty() {
            return;
        }
        let before = match outcome.reason.as_str() {
            "" => String::new(),
            reason => format!(" (and {}: {reason})", outcome.verdict),
        };
        let suspects =
            if company > 1 { format!(", with {} other cells running", company - 1) } else { String::new() };
        outcome.verdict = Verdict::Splat;
        outcome.stage = Some(Stage::Log);
        outcome.reason = format!("{}{suspects}{before}", running.complaints.join(" | "));
    }

    /// Sends a red cell's files, up to the size limit.
    fn send_files(&self, id: u32, dir: &Path, outcome: &mut CellOutcome) -> Result<(), RunnerError> {
        for (name, path) in files_of(dir) {
            let size = fs::symlink_metadata(&path).map_or(0, |m| m.len());
            if size > self.job.artifact_limit {
                outcome.notes.push(format!("{name}: {size} bytes, too large to keep"));
                continue;
            }
            if let Err(error) = self.send_file(id, &name, &path) {
                match error {
                    SendError::Read(error) => outcome.notes.push(format!("{name}: {error}")),
                    SendError::Say(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn send_file(&self, id: u32, name: &str, path: &Path) -> Result<(), SendError> {
        let mut file = File::open(path).map_err(SendError::Read)?;
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let n = file.read(&mut buffer).map_err(SendError::Read)?;
            if n == 0 {
                return Ok(());
            }
            let data = BASE64.encode(&buffer[..n]);
            self.say(&Event::Artifact { id, name: name.to_owned(), offset, data }).map_err(SendError::Say)?;
            offset += n as u64;
        }
    }
}

enum SendError {
    Read(io::Error),
    Say(RunnerError),
}

/// The regular files of a cell that help to analyse it, by the name they are sent under.
fn files_of(dir: &Path) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for (folder, prefix) in [(dir.to_owned(), ""), (dir.join("cwd"), "workload.")] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let wanted = prefix.is_empty() || matches!(name.as_str(), "stdout" | "stderr");
            let size = entry.metadata().map_or(0, |m| if m.is_file() { m.len() } else { 0 });
            if wanted && size > 0 {
                files.push((format!("{prefix}{name}"), entry.path()));
            }
        }
    }
    files.sort();
    files
}

/// Reads a pipe until every writer has closed it (true) or the limit has passed (false).
fn read_until_closed(pipe: &ChildStdout, into: &mut Vec<u8>, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], wait) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => return Ok(true),
            Ok(n) => into.extend_from_slice(&buffer[..n]),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Removes a cell's directory after unmounting whatever is mounted below it.
fn remove(dir: &Path) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    for point in leak::mounts_below(&mounts, dir) {
        nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH)?;
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
