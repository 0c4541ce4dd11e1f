//! Measures one point after the other: a target of the given size is saved, killed and restarted.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group};
use serde::{Deserialize, Serialize};

/// The parameter that is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sweep {
    Memory,
    Threads,
    Descriptors,
    Mappings,
    Processes,
    Watches,
    /// System V shared memory of one page each.
    Segments,
    /// Unix sockets, in pairs.
    Sockets,
    /// Ends of TCP connections in the job.
    Connections,
}

impl Sweep {
    const ALL: [Sweep; 9] = [
        Sweep::Memory,
        Sweep::Threads,
        Sweep::Descriptors,
        Sweep::Mappings,
        Sweep::Processes,
        Sweep::Watches,
        Sweep::Segments,
        Sweep::Sockets,
        Sweep::Connections,
    ];

    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The target's option, and its values.
    fn points(self) -> (&'static str, &'static [u64]) {
        match self {
            Sweep::Memory => ("--mib", &[10, 100, 1024, 4096]),
            Sweep::Threads => ("--threads", &[1, 10, 100, 1000]),
            Sweep::Descriptors => ("--fds", &[10, 100, 1000, 10_000]),
            Sweep::Mappings => ("--vmas", &[100, 1000, 10_000, 20_000]),
            Sweep::Processes => ("--procs", &[1, 10, 100, 500]),
            Sweep::Watches => ("--watches", &[10, 100, 1000, 10_000]),
            // There may be 4096 in all (kernel.shmmni).
            Sweep::Segments => ("--segments", &[10, 100, 1000, 4000]),
            Sweep::Sockets => ("--sockets", &[10, 100, 1000, 10_000]),
            Sweep::Connections => ("--connections", &[10, 100, 1000, 10_000]),
        }
    }

    /// Whether an engine can save such a target at all.
    fn suits(self, engine: Engine) -> bool {
        // CRIU saves System V objects only with an IPC namespace of their own.
        self != Sweep::Segments || engine != Engine::Criu
    }
}

/// The engine that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// cairn with ptrace.
    Cairn,
    /// cairn with its kernel module.
    CairnKmod,
    Criu,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Engine::Cairn => "cairn",
            Engine::CairnKmod => "cairn-kmod",
            Engine::Criu => "criu",
        }
    }
}

/// One point's medians.
#[derive(Debug, Serialize, Deserialize)]
pub struct Point {
    /// The kernel it was measured on.
    #[serde(default)]
    pub kernel: String,
    pub engine: String,
    pub sweep: Sweep,
    pub value: u64,
    pub pause_ms: Option<f64>,
    pub checkpoint_ms: f64,
    pub bytes: u64,
    pub restart_ms: f64,
}

/// What to measure, and how.
pub struct Plan<'a> {
    /// The sweeps; all if empty.
    pub sweeps: &'a [Sweep],
    /// Number of measurements per point, of which the median is taken.
    pub repeat: usize,
    /// Points above this many MiB of memory are skipped.
    pub max_mib: u64,
    /// The engines with their programs.
    pub engines: Vec<(Engine, PathBuf)>,
    /// The target's program.
    pub corpus: PathBuf,
}

impl Plan<'_> {
    /// Measures every point; each is passed to `each` when complete.
    pub fn carry_out(&self, each: &mut dyn FnMut(Point) -> Result<()>) -> Result<()> {
        // A stray descriptor of a shell would be inherited by every target, and possibly cannot be
        // saved.
        cairn_testsuite::runner::close_inherited().context("close inherited descriptors")?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("become subreaper")?;
        let sweeps = if self.sweeps.is_empty() { &Sweep::ALL } else { self.sweeps };
        for sweep in sweeps.iter().copied() {
            let (flag, values) = sweep.points();
            for &value in values.iter().filter(|v| sweep != Sweep::Memory || **v <= self.max_mib) {
                for (engine, program) in self.engines.iter().filter(|(engine, _)| sweep.suits(*engine)) {
                    each(self.measure(*engine, program, (sweep, flag, value))?)?;
                }
            }
        }
        Ok(())
    }

    fn measure(
        &self,
        engine: Engine,
        program: &Path,
        (sweep, flag, value): (Sweep, &str, u64),
    ) -> Result<Point> {
        let mut samples = Vec::new();
        for _ in 0..self.repeat.max(1) {
            let dir = tempfile::Builder::new().prefix("cairn-bench-").tempdir()?;
            let target = Target::start(&self.corpus, flag, value, dir.path())?;
            let sample = match engine {
                Engine::Cairn => cairn_once(program, "ptrace", target, dir.path()),
                Engine::CairnKmod => cairn_once(program, "kmod", target, dir.path()),
                Engine::Criu => criu_once(program, target, dir.path()),
            };
            samples.push(sample.with_context(|| format!("{}, {flag} {value}", engine.name()))?);
        }
        let median = |mut list: Vec<f64>| -> f64 {
            list.sort_by(f64::total_cmp);
            list[list.len() / 2]
        };
        let ms = |f: &dyn Fn(&Sample) -> Duration| {
            median(samples.iter().map(|s| f(s).as_secs_f64() * 1e3).collect())
        };
        let paused = samples.iter().all(|s| s.pause.is_some());
        Ok(Point {
            kernel: String::new(),
            engine: engine.name().to_owned(),
            sweep,
            value,
            pause_ms: paused.then(|| ms(&|s| s.pause.unwrap_or_default())),
            checkpoint_ms: ms(&|s| s.checkpoint),
            bytes: median(samples.iter().map(|s| s.bytes as f64).collect()) as u64,
            restart_ms: ms(&|s| s.restart),
        })
    }
}

/// One measurement.
struct Sample {
    pause: Option<Duration>,
    checkpoint: Duration,
    bytes: u64,
    restart: Duration,
}

/// The fields used of the output of `cairn checkpoint --json`.
#[derive(Deserialize)]
struct CheckpointReport {
    bytes: u64,
    pause_ns: u64,
}

/// The fields used of the output of `cairn restart --json --detach`.
#[derive(Deserialize)]
struct RestartReport {
    pid: i32,
}

/// The CRIU on the PATH, if `criu check` succeeds.
pub fn criu_that_works() -> Option<PathBuf> {
    let output = Command::new("criu").arg("check").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| PathBuf::from("criu"))
}

/// A running target; dropping it kills its process group.
struct Target {
    pid: i32,
}

impl Target {
    fn start(corpus: &Path, flag: &str, value: u64, dir: &Path) -> Result<Target> {
        // The target must not keep a pipe or terminal open, so its output is a file that `tail`
        // follows.
        let said = dir.join("said");
        let file = fs::File::create(&said)?;
        let child = Command::new("setsid")
            .args(["--wait"])
            .arg(corpus)
            .args(["bench-target", flag, &value.to_string()])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("start the target (needs setsid from util-linux)")?;
        let mut watch = Command::new("tail")
            .args(["-n", "+1", "--follow", &format!("--pid={}", child.id())])
            .arg(&said)
            .stdout(Stdio::piped())
            .spawn()
            .context("start tail")?;
        let mut line = String::new();
        let stdout = watch.stdout.take().context("tail without a pipe")?;
        let read = BufReader::new(stdout).read_line(&mut line);
        watch.kill().context("end tail")?;
        watch.wait().context("wait for tail")?;
        read.context("read the output of the target")?;
        let mut target = Target { pid: 0 };
        let pid = line.trim().strip_prefix("ready ").and_then(|pid| pid.parse().ok());
        target.pid = pid.with_context(|| format!("unexpected output of the target: {:?}", line.trim()))?;
        Ok(target)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        kill_group(self.pid);
        if let Err(error) = reap_all() {
            eprintln!("{error:#}");
        }
    }
}

/// Reaps all killed processes: orphans are reparented to this process, and their PIDs must be free
/// for the restart.
fn reap_all() -> Result<()> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(errno) => return Err(errno).context("wait for the target"),
        }
    }
}

/// Kills a target's process group, which contains all of its processes.
fn kill_group(leader: i32) {
    let Some(group) = Pid::from_raw(leader).filter(|_| leader > 1) else { return };
    match kill_process_group(group, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(errno) => eprintln!("kill the target {leader}: {errno}"),
    }
}

fn timed(command: &mut Command) -> Result<(Duration, String)> {
    let clock = Instant::now();
    let output = command.stdin(Stdio::null()).output().context("start the engine")?;
    let took = clock.elapsed();
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok((took, String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn cairn_once(program: &Path, source: &str, target: Target, dir: &Path) -> Result<Sample> {
    let file = dir.join("context");
    let mut save = Command::new(program);
    save.args([
        "checkpoint",
        &target.pid.to_string(),
        "--source",
        source,
        "--kill",
        "--json",
        "--sync",
        "none",
        "-o",
    ]);
    save.arg(&file);
    let (checkpoint, said) = timed(&mut save)?;
    let report: CheckpointReport = serde_json::from_str(&said).context("read the checkpoint's report")?;
    reap_all()?;
    let mut back = Command::new(program);
    back.arg("restart").arg(&file).args(["--detach", "--json"]);
    let (restart, said) = timed(&mut back)?;
    let restarted: RestartReport = serde_json::from_str(&said).context("read the restart's report")?;
    kill_group(restarted.pid);
    reap_all()?;
    let pause = Some(Duration::from_nanos(report.pause_ns));
    Ok(Sample { pause, checkpoint, bytes: report.bytes, restart })
}

fn criu_once(program: &Path, target: Target, dir: &Path) -> Result<Sample> {
    let images = dir.join("images");
    fs::create_dir(&images)?;
    let mut save = Command::new(program);
    save.args(["dump", "--tcp-established", "--tree", &target.pid.to_string(), "--images-dir"]).arg(&images);
    let (checkpoint, _) = timed(&mut save)?;
    reap_all()?;
    let mut bytes = 0;
    for entry in fs::read_dir(&images)? {
        bytes += entry?.metadata()?.len();
    }
    let mut back = Command::new(program);
    back.args(["restore", "--tcp-established", "--restore-detached", "--images-dir"]).arg(&images);
    let (restart, _) = timed(&mut back)?;
    kill_group(target.pid);
    reap_all()?;
    // CRIU's target is frozen for the whole checkpoint.
    Ok(Sample { pause: Some(checkpoint), checkpoint, bytes, restart })
}
