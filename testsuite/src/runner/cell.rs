//! One cell from creating its directory to its result: the modes, readable as lists of steps.
//!
//! A cell's directory holds `cwd/`, the workload's working directory, and beside it the context
//! files (`context.N`), their records (`record.N.json`) and the output of each program.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode as Perm;
use serde::{Deserialize, Serialize};

use super::failure::{Failure, StageResult, self_skip_or_crash, still_there, words};
use super::proc::{self, TreeSnapshot};
use super::supervisor::{End, Stop, Supervisor};
use super::sys::{self, Standing};
use crate::cell::Mode;
use crate::engine::{self, After, ENVIRONMENT, Engine, RECORDS_LIMIT, RELEASED, REPORT_LIMIT, RESTART_LIMIT};
use crate::event::{CellOutcome, CellSpec, Job, Measured};
use crate::verdict::{Stage, Verdict};

/// Polling interval for changes that no event announces.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// The order that a supervisor reads from standard input, in one line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The job, without its list of cells.
    pub(super) job: Job,
    pub(super) spec: CellSpec,
    /// The cell's own directory; must not exist yet.
    pub(super) dir: PathBuf,
}

/// Main function of a supervisor: reads its order, runs the cell, prints the outcome as one line.
///
/// # Errors
/// Only if the order cannot be read or the outcome cannot be printed.
pub fn supervise() -> anyhow::Result<()> {
    let supervisor = Supervisor::new()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let started = Instant::now();
    let mut outcome = run(&order, supervisor);
    outcome.duration_ms = started.elapsed().as_millis() as u64;
    writeln!(io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
    Ok(())
}

fn run(order: &Order, mut supervisor: Supervisor) -> CellOutcome {
    let Order { job, spec, dir } = order;
    if !proc::shows_children() {
        let reason = "this kernel does not show a task's children (CONFIG_PROC_CHILDREN)";
        return Failure::infra(Stage::Start, reason).into_outcome();
    }
    let engine =
        job.engines.get(&spec.engine).and_then(|program| engine::named(&spec.engine, program.clone()));
    let Some(engine) = engine else {
        return Failure::infra(Stage::Start, format!("no adapter or program for engine {}", spec.engine))
            .into_outcome();
    };
    let limit = Duration::from_millis(job.cell_timeout_ms).mul_f64(job.time_scale);
    let mut cell = CellRun {
        job,
        spec,
        dir,
        engine: engine.as_ref(),
        supervisor: &mut supervisor,
        deadline: Instant::now() + limit,
        measured: Vec::new(),
        notes: Vec::new(),
        names: BTreeSet::new(),
    };
    let result = match spec.mode {
        Mode::Once | Mode::Script => cell.once(),
        Mode::Job => cell.job(),
        Mode::Twice => cell.twice(),
        Mode::Continue => cell.resume(),
        Mode::Killed => cell.killed(),
    };
    let (measured, notes) = (std::mem::take(&mut cell.measured), std::mem::take(&mut cell.notes));
    let mut outcome = match result {
        Ok(()) => CellOutcome::new(Verdict::Pass, None, ""),
        Err(failure) => failure.unless_full(dir).into_outcome(),
    };
    outcome.measured = measured;
    outcome.notes = notes;
    match supervisor.kill_all() {
        Ok(left) if left.is_empty() => {}
        Ok(left) => {
            let list: Vec<String> = left.into_iter().map(proc::describe).collect();
            outcome.notes.push(format!("could not be killed: {}", list.join(", ")));
        }
        Err(errno) => outcome.notes.push(format!("cleaning up: {errno}")),
    }
    outcome
}

/// A restart program, which stays the parent of the restarted tree.
pub(super) struct Restarted {
    /// PID of the program itself, not of the tree.
    pub(super) pid: u32,
    /// Path of its standard error.
    pub(super) stderr: PathBuf,
}

pub(super) struct CellRun<'a> {
    pub(super) job: &'a Job,
    pub(super) spec: &'a CellSpec,
    pub(super) dir: &'a Path,
    pub(super) engine: &'a dyn Engine,
    pub(super) supervisor: &'a mut Supervisor,
    pub(super) deadline: Instant,
    measured: Vec<Measured>,
    notes: Vec<String>,
    /// Contents of the workload's directory when it was ready.
    pub(super) names: BTreeSet<PathBuf>,
}

impl CellRun<'_> {
    fn once(&mut self) -> StageResult<()> {
        let root = self.start()?;
        self.checkpoint(root, 1, After::Kill)?;
        self.was_killed(root)?;
        let restarted = self.restart(root, 1)?;
        self.lives_on(root, &restarted)
    }

    fn job(&mut self) -> StageResult<()> {
        let root = self.start()?;
        self.supervisor.let_jobs_wait(true);
        self.checkpoint(root, 1, After::Kill)?;
        let restarted = self.restart(root, 1)?;
        self.was_killed(root)?;
        self.lives_on(root, &restarted)
    }

    /// Checks that the restarted tree has the same state, verifies itself and leaves nothing
    /// behind.
    fn lives_on(&mut self, root: u32, restarted: &Restarted) -> StageResult<()> {
        self.checkpoint(root, 2, After::Run)?;
        self.compare(1, 2)?;
        self.nothing_new()?;
        self.let_go(restarted.pid)?;
        self.verified(restarted.pid, Some(&restarted.stderr))?;
        self.nothing_left()
    }

    fn twice(&mut self) -> StageResult<()> {
        let root = self.start()?;
        self.checkpoint(root, 1, After::Kill)?;
        self.was_killed(root)?;
        let first = self.restart(root, 1)?;
        self.checkpoint(root, 2, After::Kill)?;
        self.compare(1, 2)?;
        let end = self.wait_for(first.pid, Stage::Checkpoint, "the first restart to end")?;
        if end != End::Exited(128 + Signal::SIGKILL as i32) {
            let reason =
                format!("the restart program ended with {end} after its tree was killed, expected 137");
            return Err(Failure::fail(Stage::Checkpoint, reason));
        }
        let second = self.restart(root, 2)?;
        self.nothing_new()?;
        self.let_go(second.pid)?;
        self.verified(second.pid, Some(&second.stderr))?;
        self.nothing_left()
    }

    fn resume(&mut self) -> StageResult<()> {
        let root = self.start()?;
        self.checkpoint(root, 1, After::Run)?;
        self.settle(root, root, Stage::Checkpoint)?;
        let otherwise = self.engine.checkpoint_otherwise(root, &self.context(2), After::Run, &self.sysv());
        self.checkpoint_by(otherwise, root, 2, After::Run)?;
        self.compare(1, 2)?;
        self.nothing_new()?;
        self.let_go(root)?;
        self.verified(root, None)?;
        self.nothing_left()
    }

    /// Creates the directory, starts the workload and waits for its `ready`. Returns its PID.
    pub(super) fn start(&mut self) -> StageResult<u32> {
        let setup = |what: &str, error: io::Error| Failure::infra(Stage::Start, format!("{what}: {error}"));
        let cwd = self.cwd();
        fs::create_dir_all(&cwd).map_err(|e| setup("make the cell's directory", e))?;
        for name in ["ready", "go"] {
            nix::unistd::mkfifo(&cwd.join(name), Perm::from_bits_truncate(0o600))
                .map_err(|e| setup("make a fifo", e.into()))?;
        }
        let mut ready = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(cwd.join("ready"))
            .map_err(|e| setup("open ready", e))?;

        let Some(program) = self.job.workloads.get(&self.spec.userland) else {
            return Err(Failure::infra(
                Stage::Start,
                format!("no {} build of the corpus", self.spec.userland),
            ));
        };
        let output = |name: &str| OpenOptions::new().append(true).create_new(true).open(cwd.join(name));
        let mut command = Command::new(program);
        command
            .args(["run", &self.spec.workload, "--seed", &self.job.seed.to_string()])
            .current_dir(&cwd)
            .stdin(Stdio::null())
            .stdout(output("stdout").map_err(|e| setup("open stdout", e))?)
            .stderr(output("stderr").map_err(|e| setup("open stderr", e))?);
        self.hand_over().map_err(|e| setup("give the cell's directory to its user", e))?;
        self.identity(&mut command);
        let standing = match self.spec.mode {
            Mode::Once | Mode::Twice | Mode::Continue | Mode::Killed => Standing::SessionLeader,
            Mode::Job => Standing::GroupLeader,
            Mode::Script => Standing::Member,
        };
        sys::start_afresh(&mut command, standing);
        // The engine is at fixed addresses, the workload not in all modes.
        if self.job.fixed_addresses && matches!(self.spec.mode, Mode::Twice | Mode::Continue | Mode::Killed) {
            sys::randomise_addresses(&mut command);
        }
        let child = self.supervisor.spawn(command).map_err(|e| setup("start the workload", e))?;
        let root = child.id();

        let mut said = Vec::new();
        let watched = ready.try_clone().map_err(|e| setup("watch ready", e))?;
        let word = self
            .supervisor
            .wait(self.deadline, None, &[watched.as_fd()], |sup| {
                let mut buffer = [0; 64];
                loop {
                    match ready.read(&mut buffer) {
                        // No writer: not opened yet, or written and closed again.
                        Ok(0) if said.ends_with(b"\n") => return Some(Ok(())),
                        Ok(0) => break,
                        Ok(n) => said.extend_from_slice(&buffer[..n]),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => {
                            return Some(Err(Failure::infra(Stage::Ready, format!("read ready: {error}"))));
                        }
                    }
                }
                sup.end_of(root).map(|end| Err(self_skip_or_crash(end, &cwd)))
            })
            .map_err(|stop| Failure::stopped(Stage::Ready, "the workload's ready", stop))?;
        word?;
        self.supervisor.spare(self.partners());
        self.settle(root, root, Stage::Ready)?;
        self.names = self.listing()?;
        Ok(root)
    }

    /// Waits until the root waits for `go`, and, unless the workload is active, until the whole
    /// tree is at rest.
    ///
    /// `parent` is the supervisor's own child; the wait fails if it exits.
    pub(super) fn settle(&mut self, root: u32, parent: u32, stage: Stage) -> StageResult<()> {
        let came = self
            .supervisor
            .wait(self.deadline, Some(TICK), &[], |sup| match sup.end_of(parent) {
                Some(end) => Some(Err(end)),
                None => proc::waits_in_open(root).then_some(Ok(())),
            })
            .map_err(|stop| Failure::stopped(stage, "the workload to open go", stop))?;
        if let Err(end) = came {
            let reason = format!("the workload ended before go ({end}){}", words(&self.cwd().join("stderr")));
            return Err(Failure::fail(stage, reason));
        }
        if self.spec.active {
            return Ok(());
        }
        match self.rests(root) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.notes.push(format!("{stage}: the tree did not come to rest"));
                Ok(())
            }
            Err(stop) => Err(Failure::stopped(stage, "the tree to come to rest", stop)),
        }
    }

    /// Waits briefly until no process in the tree below `root` runs; returns whether that was
    /// reached. Exited processes count as at rest.
    fn rests(&mut self, root: u32) -> Result<bool, Stop> {
        let limit = self.deadline.min(Instant::now() + self.grace());
        let mut last = TreeSnapshot::of(root);
        let rest = self.supervisor.wait(limit, Some(TICK), &[], |_| {
            let now = TreeSnapshot::of(root);
            let still = now.at_rest() && now == last;
            last = now;
            still.then_some(())
        });
        match rest {
            Ok(()) => Ok(true),
            Err(Stop::Deadline) => Ok(false),
            Err(stop) => Err(stop),
        }
    }

    /// Checkpoints the tree as `context.N` and its records as `record.N.json`; with [`After::Kill`]
    /// waits until it is gone.
    pub(super) fn checkpoint(&mut self, root: u32, n: u32, after: After) -> StageResult<()> {
        let command = self.engine.checkpoint(root, &self.context(n), after, &self.sysv());
        self.checkpoint_by(command, root, n, after)
    }

    fn checkpoint_by(&mut self, command: Command, root: u32, n: u32, after: After) -> StageResult<()> {
        let file = self.context(n);
        let fail = |reason: String| Failure::fail(Stage::Checkpoint, reason);
        let tag = format!("checkpoint.{n}");
        let started = Instant::now();
        let report = self.engine_run(Stage::Checkpoint, &tag, command, REPORT_LIMIT)?;
        let took = started.elapsed();
        let size = match fs::symlink_metadata(&file) {
            Ok(meta) if meta.is_file() && meta.len() > 0 => meta.len(),
            Ok(meta) if meta.is_file() => return Err(fail(format!("{tag}: context.{n} is empty"))),
            _ => return Err(fail(format!("the engine reported success and left no context.{n}"))),
        };
        let measured = self.engine.measured(&report).map_err(|why| fail(format!("{tag}: {why}")))?;
        can_be(&measured, took, size).map_err(|why| fail(format!("{tag}: {why}")))?;
        self.measured.push(measured);
        if let Some(command) = self.engine.info(&file) {
            let tag = format!("info.{n}");
            let records = self.engine_run(Stage::Checkpoint, &tag, command, RECORDS_LIMIT)?;
            self.engine.check_records(&records, root).map_err(|why| fail(format!("{tag}: {why}")))?;
            fs::write(self.record(n), records)
                .map_err(|e| Failure::infra(Stage::Checkpoint, format!("write record.{n}.json: {e}")))?;
        }
        if after == After::Run {
            return Ok(());
        }
        let left = self
            .supervisor
            .wait_empty(self.deadline.min(Instant::now() + self.grace()))
            .map_err(|stop| Failure::stopped(Stage::Checkpoint, "the tree to be gone", stop))?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(Failure::fail(Stage::Checkpoint, still_there("--kill", left)))
        }
    }

    /// Restarts `context.N` and waits until the tree runs and is at rest.
    pub(super) fn restart(&mut self, root: u32, n: u32) -> StageResult<Restarted> {
        let command = self.engine.restart(&self.context(n));
        let started = Instant::now();
        let tag = format!("restart.{n}");
        let pid = self.engine_start(Stage::Restart, &tag, command, RESTART_LIMIT)?;
        if self.spec.mode == Mode::Job {
            // A restart program at rest waits for its tree, unless only zombies are left; a failed
            // restart has exited.
            self.rests(pid).map_err(|stop| Failure::stopped(Stage::Restart, "the restart to wait", stop))?;
            self.supervisor.let_jobs_wait(false);
        }
        let (stdout, stderr) = (self.log(&tag, "stdout"), self.log(&tag, "stderr"));
        let released = self.supervisor.wait(self.deadline, None, &[], |sup| match fs::read(&stdout) {
            Ok(said) if says_released(&said) => Some(Ok(None)),
            Ok(_) => sup.end_of(pid).map(|end| Ok(Some(end))),
            Err(error) => Some(Err(log_failed(Stage::Restart, &stdout, error))),
        });
        match released.map_err(|stop| Failure::stopped(Stage::Restart, "the restart", stop))?? {
            None => {}
            Some(end) => return Err(self.engine_failed(Stage::Restart, end, &stderr)),
        }
        let total_ns = u64::try_from(started.elapsed().as_nanos()).ok();
        self.measured.push(Measured { stage: Stage::Restart, pause_ns: None, total_ns, bytes: None });
        self.settle(root, pid, Stage::Restart)?;
        Ok(Restarted { pid, stderr })
    }

    /// Opens `go`, which the workload waits for. `parent` as in [`CellRun::settle`].
    pub(super) fn let_go(&mut self, parent: u32) -> StageResult<()> {
        let go = self.cwd().join("go");
        // Opening without a reader fails with ENXIO: open(2) in the workload is being restarted
        // after a stop.
        self.supervisor
            .wait(self.deadline, Some(TICK), &[], |sup| {
                match OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&go) {
                    Ok(_) => Some(Ok(())),
                    Err(_) if sup.end_of(parent).is_some() => Some(Ok(())),
                    Err(error) if error.raw_os_error() == Some(libc::ENXIO) => None,
                    Err(error) => Some(Err(Failure::infra(Stage::Verify, format!("open go: {error}")))),
                }
            })
            .map_err(|stop| Failure::stopped(Stage::Verify, "the workload to open go", stop))?
    }

    /// Runs an engine's program until it exits. Returns its standard output, which is limited in
    /// size.
    pub(super) fn engine_run(
        &mut self,
        stage: Stage,
        tag: &str,
        command: Command,
        most: u64,
    ) -> StageResult<Vec<u8>> {
        let pid = self.engine_start(stage, tag, command, most)?;
        match self.wait_for(pid, stage, tag)? {
            End::Exited(0) => {
                let log = self.log(tag, "stdout");
                fs::read(&log).map_err(|error| log_failed(stage, &log, error))
            }
            end => Err(self.engine_failed(stage, end, &self.log(tag, "stderr"))),
        }
    }

    /// Starts an engine's program. Returns its PID.
    pub(super) fn engine_start(
        &mut self,
        stage: Stage,
        tag: &str,
        mut command: Command,
        most: u64,
    ) -> StageResult<u32> {
        command.current_dir(self.dir).stdin(Stdio::null());
        self.identity(&mut command);
        command.envs(&self.job.engine_env);
        sys::start_afresh(&mut command, Standing::Member);
        self.supervisor
            .spawn_heard(command, self.dir, tag, most)
            .map_err(|e| Failure::infra(stage, format!("start the engine: {e}")))
    }

    /// `unsupported (exit status 3): fd 7 of 4711 …`.
    fn engine_failed(&self, stage: Stage, end: End, stderr: &Path) -> Failure {
        let said = words(stderr);
        match end {
            End::Killed(signal) if signal == Signal::SIGXFSZ as i32 => {
                let dir = self.dir.display();
                Failure::infra(stage, format!("file size limit reached in {dir} ({end}){said}"))
            }
            End::Killed(_) => Failure::fail(stage, format!("the engine ended ({end}){said}")),
            End::Exited(0) => {
                Failure::fail(stage, format!("the engine ended ({end}) and left no process that runs{said}"))
            }
            End::Exited(code) => {
                let meaning = self.engine.status_meaning(code).unwrap_or("the engine ended");
                Failure::fail(stage, format!("{meaning} ({end}){said}"))
            }
        }
    }

    pub(super) fn wait_for(&mut self, pid: u32, stage: Stage, what: &str) -> StageResult<End> {
        self.supervisor.wait_end(pid, self.deadline).map_err(|stop| Failure::stopped(stage, what, stop))
    }

    /// Changes the owner of the cell's directory, which the engine writes to, and of the contents
    /// of the workload's directory to the user that both run as.
    fn hand_over(&self) -> io::Result<()> {
        let Some(id) = self.engine.user() else { return Ok(()) };
        let cwd = self.cwd();
        let inside = ["ready", "go", "stdout", "stderr"].map(|name| cwd.join(name));
        [self.dir.to_path_buf(), cwd]
            .into_iter()
            .chain(inside)
            .try_for_each(|path| std::os::unix::fs::chown(path, Some(id), Some(id)))
    }

    /// Sets the user and the same minimal environment for every program, whatever this process
    /// inherited.
    fn identity(&self, command: &mut Command) {
        if let Some(id) = self.engine.user() {
            // Also drops the supplementary groups.
            command.uid(id).gid(id);
        }
        command.env_clear().envs(ENVIRONMENT).env("CAIRN_TIME_SCALE", self.job.time_scale.to_string());
    }

    /// How long a process may take to exit after it was signalled.
    pub(super) fn grace(&self) -> Duration {
        Duration::from_secs(2).mul_f64(self.job.time_scale)
    }

    pub(super) fn cwd(&self) -> PathBuf {
        self.dir.join("cwd")
    }

    /// What the workload says of System V objects in its directory, a name in each line.
    pub(super) fn sysv(&self) -> Vec<String> {
        let text = fs::read_to_string(self.cwd().join("sysv")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The PIDs in a file of the workload, a line each: processes outside its tree that it talks
    /// to.
    fn partners(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.cwd().join("partners")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub(super) fn context(&self, n: u32) -> PathBuf {
        self.dir.join(format!("context.{n}"))
    }

    fn log(&self, tag: &str, stream: &str) -> PathBuf {
        self.dir.join(format!("{tag}.{stream}"))
    }

    pub(super) fn record(&self, n: u32) -> PathBuf {
        self.dir.join(format!("record.{n}.json"))
    }
}

/// Whether an engine has printed the complete line.
fn says_released(printed: &[u8]) -> bool {
    printed
        .split_inclusive(|byte| *byte == b'\n')
        .any(|line| line.strip_suffix(b"\n") == Some(RELEASED.as_bytes()))
}

/// Whether an engine's report is plausible for a call that took `took` and left a file of `size`
/// bytes.
fn can_be(measured: &Measured, took: Duration, size: u64) -> Result<(), String> {
    let Measured { pause_ns, total_ns, bytes, .. } = measured;
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let longer =
        |of: &str, ns: u64| format!("the report states {of} of {ns} ns in a call that took {took} ns");
    match (pause_ns, total_ns, bytes) {
        (_, Some(total), _) if *total > took => Err(longer("a total", *total)),
        (Some(pause), _, _) if *pause > total_ns.unwrap_or(took) => Err(longer("a pause", *pause)),
        (.., Some(bytes)) if *bytes > size => {
            Err(format!("the report states {bytes} bytes, but the context file has {size}"))
        }
        _ => Ok(()),
    }
}

/// Failure to read an engine's log, which is a file of the harness in a directory that the engine
/// can modify.
fn log_failed(stage: Stage, log: &Path, error: io::Error) -> Failure {
    let name = log.file_name().unwrap_or_default().display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::fail(stage, format!("{name} is missing: the engine has removed files of the cell"))
        }
        _ => Failure::infra(stage, format!("read {name}: {error}")),
    }
}
