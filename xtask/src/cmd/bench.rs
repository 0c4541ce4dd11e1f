//! `cargo xtask bench`: what a checkpoint and a restart cost, over sizes and numbers.
//!
//! A target of the wanted size is built, saved and killed, and brought back, several times; the median counts. The pause
//! is how long the target stood still. CRIU is measured in the same run where one is installed that says it works here.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cairn_testsuite::cell::Userland;
use clap::Parser;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::cross::Toolchain;
use crate::programs::{self, Wanted};
use crate::room::Room;

#[derive(Parser)]
pub struct Args {
    /// Sweeps to run; all when left out
    #[arg(value_enum)]
    sweep: Vec<Sweep>,
    /// Times each point is measured; the median counts
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Leave out points above this many MiB of memory
    #[arg(long, default_value_t = 4096)]
    max_mib: u64,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Use nothing from the network
    #[arg(long)]
    offline: bool,
}

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Sweep {
    Memory,
    Threads,
    Descriptors,
    Mappings,
    Processes,
}

impl Sweep {
    const ALL: [Sweep; 5] =
        [Sweep::Memory, Sweep::Threads, Sweep::Descriptors, Sweep::Mappings, Sweep::Processes];

    /// The flag of the target, and the points.
    fn points(self) -> (&'static str, &'static [u64]) {
        match self {
            Sweep::Memory => ("--mib", &[10, 100, 1024, 4096]),
            Sweep::Threads => ("--threads", &[1, 10, 100, 1000]),
            Sweep::Descriptors => ("--fds", &[10, 100, 1000, 10_000]),
            Sweep::Mappings => ("--vmas", &[100, 1000, 10_000, 20_000]),
            Sweep::Processes => ("--procs", &[1, 10, 100, 500]),
        }
    }
}

/// One point's medians.
#[derive(Debug, Serialize)]
struct Point {
    engine: String,
    sweep: Sweep,
    value: u64,
    pause_ms: Option<f64>,
    checkpoint_ms: f64,
    bytes: u64,
    restart_ms: f64,
}

/// One measurement.
struct Sample {
    pause: Option<Duration>,
    checkpoint: Duration,
    bytes: u64,
    restart: Duration,
}

/// What `cairn checkpoint --json` prints, as far as it is of interest here.
#[derive(Deserialize)]
struct CheckpointReport {
    bytes: u64,
    pause_ns: u64,
}

/// What `cairn restart --json --detach` prints, as far as it is of interest here.
#[derive(Deserialize)]
struct RestartReport {
    pid: i32,
}

pub fn run(args: &Args) -> Result<bool> {
    // A shell's stray descriptor would become part of every target, and perhaps one that no engine can save.
    cairn_testsuite::runner::close_inherited().context("close inherited descriptors")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("become subreaper")?;
    let room = Room::find()?;
    let built =
        programs::build(&room, &Toolchain::native()?, Wanted { offline: args.offline, ..Wanted::default() })?;
    let cairn = built.cairn.context("the engine was not built")?;
    let corpus = &built.workloads[&Userland::Dynamic];
    let criu = criu_that_works();
    if criu.is_none() {
        println!("no criu that works on this kernel is installed; cairn is measured alone");
    }
    let sweeps = if args.sweep.is_empty() { Sweep::ALL.to_vec() } else { args.sweep.clone() };
    let mut points = Vec::new();
    println!(
        "{:12} {:>6}  {:6} {:>10} {:>14} {:>10} {:>11} {:>10}",
        "sweep", "value", "engine", "pause", "checkpoint", "bytes", "restart", "GB/s"
    );
    for sweep in sweeps {
        let (flag, values) = sweep.points();
        for &value in values.iter().filter(|v| sweep != Sweep::Memory || **v <= args.max_mib) {
            let engines = [("cairn", Some(&cairn)), ("criu", criu.as_ref())];
            for (engine, program) in engines.into_iter().filter_map(|(e, p)| Some((e, p?))) {
                let point = measure(engine, program, corpus, (sweep, flag, value), args.repeat.max(1))?;
                print_point(&point);
                points.push(point);
            }
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&points)? + "\n";
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(true)
}

fn print_point(point: &Point) {
    let pause = point.pause_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
    let rate = point.bytes as f64 / 1e6 / point.checkpoint_ms;
    let sweep = format!("{:?}", point.sweep).to_lowercase();
    println!(
        "{sweep:12} {:>6}  {:6} {pause:>10} {:>11.1} ms {:>6.1} MB {:>8.1} ms {rate:>10.2}",
        point.value,
        point.engine,
        point.checkpoint_ms,
        point.bytes as f64 / 1e6,
        point.restart_ms
    );
}

/// The CRIU on the path, if `criu check` is content.
fn criu_that_works() -> Option<PathBuf> {
    let output = Command::new("criu").arg("check").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| PathBuf::from("criu"))
}

fn measure(
    engine: &str,
    program: &Path,
    corpus: &Path,
    (sweep, flag, value): (Sweep, &str, u64),
    repeat: usize,
) -> Result<Point> {
    let mut samples = Vec::new();
    for _ in 0..repeat {
        let dir = tempfile::Builder::new().prefix("cairn-bench-").tempdir()?;
        let target = Target::start(corpus, flag, value, dir.path())?;
        let sample = match engine {
            "cairn" => cairn_once(program, target, dir.path()),
            _ => criu_once(program, target, dir.path()),
        };
        samples.push(sample.with_context(|| format!("{engine}, {flag} {value}"))?);
    }
    let median = |mut list: Vec<f64>| -> f64 {
        list.sort_by(f64::total_cmp);
        list[list.len() / 2]
    };
    let ms =
        |f: &dyn Fn(&Sample) -> Duration| median(samples.iter().map(|s| f(s).as_secs_f64() * 1e3).collect());
    let paused = samples.iter().all(|s| s.pause.is_some());
    Ok(Point {
        engine: engine.to_owned(),
        sweep,
        value,
        pause_ms: paused.then(|| ms(&|s| s.pause.unwrap_or_default())),
        checkpoint_ms: ms(&|s| s.checkpoint),
        bytes: median(samples.iter().map(|s| s.bytes as f64).collect()) as u64,
        restart_ms: ms(&|s| s.restart),
    })
}

/// A running target; dropping it kills its process group.
struct Target {
    pid: i32,
}

impl Target {
    fn start(corpus: &Path, flag: &str, value: u64, dir: &Path) -> Result<Target> {
        // Neither pipe nor terminal may stay with it, so its one line goes to a file that `tail` watches for us.
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
            .context("start the target (setsid of util-linux)")?;
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
        read.context("read what the target says")?;
        let mut target = Target { pid: 0 };
        let pid = line.trim().strip_prefix("ready ").and_then(|pid| pid.parse().ok());
        target.pid = pid.with_context(|| format!("the target said {:?}", line.trim()))?;
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

/// Waits for everything that was killed: its orphans are ours, and nobody else would be quick to free their numbers.
fn reap_all() -> Result<()> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(errno) => return Err(errno).context("wait for the target"),
        }
    }
}

/// Ends every process of a target that we started, by the number of its group, which all of them stay in.
fn kill_group(leader: i32) {
    let Some(group) = Pid::from_raw(leader).filter(|_| leader > 1) else { return };
    match kill_process_group(group, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(errno) => eprintln!("end the target {leader}: {errno}"),
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

fn cairn_once(program: &Path, target: Target, dir: &Path) -> Result<Sample> {
    let file = dir.join("context");
    let mut save = Command::new(program);
    save.args(["checkpoint", &target.pid.to_string(), "--kill", "--json", "--sync", "none", "-o"]).arg(&file);
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
    save.args(["dump", "--tree", &target.pid.to_string(), "--images-dir"]).arg(&images);
    let (checkpoint, _) = timed(&mut save)?;
    reap_all()?;
    let mut bytes = 0;
    for entry in fs::read_dir(&images)? {
        bytes += entry?.metadata()?.len();
    }
    let mut back = Command::new(program);
    back.args(["restore", "--restore-detached", "--images-dir"]).arg(&images);
    let (restart, _) = timed(&mut back)?;
    kill_group(target.pid);
    reap_all()?;
    // CRIU's target stands still from beginning to end.
    Ok(Sample { pause: Some(checkpoint), checkpoint, bytes, restart })
}
