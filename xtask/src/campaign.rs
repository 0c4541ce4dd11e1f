//! A campaign: the same cells on several kernels, each with its own place, and everything that is written afterwards.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use cairn_qemu::Arch;
use cairn_testsuite::bundle::Bundles;
use cairn_testsuite::cell::{Cell, Mode, Selection, Userland};
use cairn_testsuite::corpus::{self, Axes, Workload};
use cairn_testsuite::driver::{Observer, Place, Session, Settings, StopFlag};
use cairn_testsuite::event::{Job, PROTOCOL};
use cairn_testsuite::expectations::Expectations;
use cairn_testsuite::partition::{self, Partition};
use cairn_testsuite::report::{CellResult, KernelInfo, Results, RunInfo, html, junit, results};

use crate::cmd::kmod_test::Trial;
use crate::places::Spot;
use crate::programs::{PerArch, Programs, Wanted};
use crate::progress::Screen;
use crate::room::Room;

/// Largest file of a red cell that is kept, in bytes.
const ARTIFACT_LIMIT: u64 = 8 << 20;
/// Time limit of one cell before scaling, in milliseconds. The workloads' own limit is half of it.
const CELL_TIMEOUT_MS: u64 = 60_000;

/// What to run, on every kernel alike.
pub struct Plan {
    /// Builds of the corpus.
    pub userlands: Vec<Userland>,
    /// Engines by name, each with its program.
    pub engines: BTreeMap<String, PathBuf>,
    /// Modes.
    pub modes: Vec<Mode>,
    /// Workloads.
    pub selection: Selection,
    /// Cells at once in one place; 0 means one for each processor.
    pub jobs: usize,
    /// How often a red cell is tried again.
    pub retries: u32,
    /// Factor on every time limit, on top of the place's own.
    pub timeout_scale: f64,
    /// Leave the cells' directories behind.
    pub keep: bool,
    /// Given to every workload.
    pub seed: u64,
    /// Kernels at once.
    pub guests: usize,
    /// How the kernel module is put to the test, where it is loaded.
    pub trial: Option<Trial>,
}

/// What the corpus of each architecture consists of.
pub type Corpora = BTreeMap<Arch, Vec<Workload>>;

/// One kernel with its cells.
pub struct Leg {
    /// Where they run.
    pub spot: Spot,
    /// What runs, with whether it moves.
    pub cells: Vec<(Cell, bool)>,
}

impl Plan {
    /// What has to be built: an engine that was given as a program is not.
    pub fn wanted(&self, offline: bool) -> Wanted {
        let no_engine = self.engines.values().all(|program| !program.as_os_str().is_empty());
        Wanted { offline, no_engine, ..Wanted::default() }
    }

    /// The cells of every kernel.
    pub fn legs(&self, corpora: &Corpora, spots: Vec<Spot>) -> Vec<Leg> {
        let leg = |spot: Spot| {
            let corpus = corpora[&spot.arch()].as_slice();
            let moving: BTreeMap<&str, bool> = corpus.iter().map(|w| (w.name.as_str(), w.moving)).collect();
            let axes = Axes {
                kernel: spot.label().to_owned(),
                arch: spot.arch().to_string(),
                userlands: self.userlands.clone(),
                engines: self.engines.keys().filter(|name| spot.has(name)).cloned().collect(),
                modes: self.modes.clone(),
            };
            let cells = corpus::cells(corpus, &self.selection, &axes);
            let cells = cells.into_iter().map(|c| {
                let moves = moving.get(c.workload.as_str()).copied().unwrap_or(false);
                (c, moves)
            });
            Leg { spot, cells: cells.collect() }
        };
        spots.into_iter().map(leg).collect()
    }
}

/// Keeps one part of all cells, balanced by what they took in the newest run.
pub fn take_part(room: &Room, legs: &mut Vec<Leg>, part: Partition) -> Result<()> {
    let durations = match room.find_run(None) {
        Ok(dir) => Results::load(&dir.join("results.json"))?.durations(),
        // The first run has nothing to go by; every cell then counts the same.
        Err(_) => BTreeMap::new(),
    };
    let all: Vec<Cell> = legs.iter().flat_map(|leg| leg.cells.iter().map(|(cell, _)| cell.clone())).collect();
    let mine: std::collections::BTreeSet<Cell> =
        partition::select(all, part, &durations).into_iter().collect();
    for leg in legs.iter_mut() {
        leg.cells.retain(|(cell, _)| mine.contains(cell));
    }
    legs.retain(|leg| !leg.cells.is_empty());
    Ok(())
}

/// A flag that Ctrl-C, SIGTERM and SIGHUP raise.
pub fn stop_flag() -> Result<StopFlag> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("listen to signals")?;
    }
    Ok(StopFlag::new(flag))
}

/// The part of a job that is the same in every place; the place fills in where its programs are.
pub fn job(plan: &Plan) -> Job {
    Job {
        v: PROTOCOL,
        cells: Vec::new(),
        jobs: plan.jobs,
        time_scale: plan.timeout_scale,
        cell_timeout_ms: CELL_TIMEOUT_MS,
        workdir: PathBuf::new(),
        keep: plan.keep,
        seed: plan.seed,
        workloads: BTreeMap::new(),
        engines: BTreeMap::new(),
        fixed_addresses: false,
        engine_env: BTreeMap::new(),
        fail_fast: false,
        artifact_limit: ARTIFACT_LIMIT,
    }
}

/// Runs every leg and writes the reports. Returns the run's directory and its results.
pub fn run(room: &Room, plan: &Plan, programs: &PerArch, legs: Vec<Leg>) -> Result<(PathBuf, Results)> {
    let expectations = Expectations::load(&room.root.join("expectations.toml"))?;
    let (id, dir) = room.new_run()?;
    let stop = stop_flag()?;
    let screen = Screen::new();
    let started = jiff::Timestamp::now();
    let clock = Instant::now();
    let order: Vec<String> = legs.iter().map(|leg| leg.spot.name()).collect();
    let queue = Mutex::new(legs.into_iter().collect::<VecDeque<Leg>>());
    let done: Mutex<Vec<(KernelInfo, Vec<CellResult>)>> = Mutex::new(Vec::new());

    let host_release = host_release()?;
    // What there is so far: also what a run that is cut short leaves.
    let results = |mut done: Vec<(KernelInfo, Vec<CellResult>)>, interrupted: bool| {
        done.sort_by_key(|(kernel, _)| order.iter().position(|name| *name == kernel.name()));
        let (kernels, cells): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let run = RunInfo {
            id: id.clone(),
            started,
            wall_ms: clock.elapsed().as_millis() as u64,
            revision: room.revision(),
            host_release: host_release.clone(),
            host_cpus: cpus(),
            seed: plan.seed,
            command: std::env::args().skip(1).collect(),
            interrupted,
        };
        Results { version: results::VERSION, run, kernels, cells: cells.into_iter().flatten().collect() }
    };
    let file = dir.join("results.json");
    let work = || -> Result<()> {
        loop {
            let leg = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(leg) = leg else { return Ok(()) };
            if stop.raised() {
                return Ok(());
            }
            let programs = &programs[&leg.spot.arch()];
            let result = run_leg(plan, programs, &dir, &expectations, leg, &screen, stop.clone())?;
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push(result);
            results(done.clone(), true).save(&file)?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.guests.max(1)).map(|_| scope.spawn(work)).collect();
        let mut all = Ok(());
        for worker in workers {
            match worker.join() {
                Ok(result) => all = all.and(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })?;

    let results = results(done.into_inner().unwrap_or_else(PoisonError::into_inner), stop.raised());
    results.save(&file)?;
    write_reports(&dir, &results)?;
    Ok((dir, results))
}

fn run_leg(
    plan: &Plan,
    programs: &Programs,
    dir: &Path,
    expectations: &Expectations,
    leg: Leg,
    screen: &Screen,
    stop: StopFlag,
) -> Result<(KernelInfo, Vec<CellResult>)> {
    let Leg { spot, cells } = leg;
    let mut progress = screen.kernel(&spot.name(), cells.len());
    progress.note(&format!("{}: {} cells, {}", spot.name(), cells.len(), spot.describe()));
    let mut job = job(plan);
    spot.fill_in(&mut job, plan, programs)?;
    let flag = spot.repro_flag();
    let repro = move |cell: &Cell| format!("cargo xtask repro {cell}{flag}");
    let settings = Settings {
        job,
        retries: plan.retries,
        expectations,
        today: jiff::Zoned::now().date(),
        bundles: Bundles::new(dir),
        repro: &repro,
    };
    let mut place: Box<dyn Place> = spot.place(programs, dir);
    let session = Session::new(&settings, spot.kernel_info(), cells, stop.clone());
    let (mut kernel, results) = session.run(place.as_mut(), &mut progress)?;
    if let (Spot::Guest(guest), Some(trial)) = (&spot, &plan.trial)
        && let Some(module) = &guest.module
        && !stop.raised()
    {
        progress.note(&format!("{}: putting the kernel module to the test, {trial}", spot.name()));
        let mut say = |line: &str| progress.trial(line);
        kernel.module =
            Some(trial.run(&guest.kernel, &guest.luggage, module, &guest.accel, &stop, &mut say)?);
    }
    Ok((kernel, results))
}

/// JUnit and HTML beside `results.json`.
pub fn write_reports(dir: &Path, results: &Results) -> Result<()> {
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    put("junit.xml", junit::render(results).context("render junit.xml")?)?;
    put("index.html", html::render(results))
}

/// Whether standard output takes colours.
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// `uname -r` of this host.
pub fn host_release() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").context("read the host's kernel release")?;
    Ok(text.trim().to_owned())
}

/// Processors of this host.
pub fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
