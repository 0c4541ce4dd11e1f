//! A run: the same cells on several kernels, each with its own place, and the reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use cairn_qemu::Arch;
use cairn_qemu::kernels::fetch;
use cairn_testsuite::bundle::{Bundles, quoted};
use cairn_testsuite::cell::{Cell, Mode, Selection, Userland};
use cairn_testsuite::corpus::{self, Axes, Workload};
use cairn_testsuite::driver::{Observer, Place, Session, Settings, StopFlag};
use cairn_testsuite::engine;
use cairn_testsuite::event::{Job, PROTOCOL};
use cairn_testsuite::expectations::{self, Expectations};
use cairn_testsuite::partition::{self, ListDigest, Partition};
use cairn_testsuite::report::{
    Absent, CellResult, Host, Journal, KernelInfo, Results, RunInfo, html, junit, results,
};

use crate::module::Trial;
use crate::places::{Spot, host_release};
use crate::programs::{PerArch, Wanted};
use crate::progress::Screen;
use crate::workspace::Workspace;

/// Largest file of a red cell that is kept, in bytes.
const ARTIFACT_LIMIT: u64 = 8 << 20;
/// Time limit of one cell before scaling, in milliseconds. The workloads' own limit is half of it.
const CELL_TIMEOUT_MS: u64 = 60_000;
/// The default seed, omitted from commands.
pub const DEFAULT_SEED: u64 = 1;
/// The file of known failures.
pub const EXPECTATIONS: &str = "expectations.toml";

/// What to run, the same on every kernel.
pub struct Plan {
    /// Builds of the corpus.
    pub userlands: Vec<Userland>,
    /// Engines by name, each with its program.
    pub engines: BTreeMap<String, PathBuf>,
    /// Modes.
    pub modes: Vec<Mode>,
    /// Workloads.
    pub selection: Selection,
    /// Number of cells run concurrently in one place; 0 means one per processor.
    pub jobs: usize,
    /// How often a red cell is retried.
    pub retries: u32,
    /// Factor on every time limit, on top of the place's own.
    pub timeout_scale: f64,
    /// Keep the cells' directories.
    pub keep: bool,
    /// Passed to every workload.
    pub seed: u64,
    /// Number of kernels run concurrently.
    pub guests: usize,
    /// How the kernel module is tested, where it is loaded.
    pub trial: Option<Trial>,
}

/// The corpus of each architecture.
pub type Corpora = BTreeMap<Arch, Vec<Workload>>;

/// One kernel with its cells.
pub struct KernelRun {
    /// The spot they run on.
    pub spot: Spot,
    /// The cells, with whether each is active.
    pub cells: Vec<(Cell, bool)>,
}

impl Plan {
    /// What has to be built: not an engine that was given as a program.
    pub fn wanted(&self, offline: bool) -> Wanted {
        let no_engine = self.engines.values().all(|program| !program.as_os_str().is_empty());
        Wanted { offline, no_engine, ..Wanted::default() }
    }

    /// The cells of every kernel.
    pub fn kernel_runs(&self, corpora: &Corpora, spots: Vec<Spot>) -> Vec<KernelRun> {
        let kernel_run = |spot: Spot| {
            let corpus = corpora[&spot.arch()].as_slice();
            let active: BTreeMap<&str, bool> = corpus.iter().map(|w| (w.name.as_str(), w.active)).collect();
            let axes = Axes {
                kernel: spot.label().to_owned(),
                arch: spot.arch().to_string(),
                userlands: self.userlands.clone(),
                engines: self.engines.keys().filter(|name| spot.has(name)).cloned().collect(),
                modes: self.modes.clone(),
                installed: matches!(spot, Spot::Host { .. }),
            };
            let cells = corpus::cells(corpus, &self.selection, &axes);
            let cells = cells.into_iter().map(|c| {
                let is_active = active.get(c.workload.as_str()).copied().unwrap_or(false);
                (c, is_active)
            });
            KernelRun { spot, cells: cells.collect() }
        };
        spots.into_iter().map(kernel_run).collect()
    }
}

/// The part of all cells that is run here.
pub struct Share {
    /// Its number.
    pub part: Partition,
    /// The whole list.
    pub list: ListDigest,
}

/// Keeps one part of all cells, by their names, or balanced by their durations in the run
/// `durations`.
pub fn take_part(
    workspace: &Workspace,
    kernel_runs: &mut Vec<KernelRun>,
    part: Option<Partition>,
    durations: Option<&str>,
) -> Result<Share> {
    let all: Vec<Cell> = kernel_runs
        .iter()
        .flat_map(|kernel_run| kernel_run.cells.iter().map(|(cell, _)| cell.clone()))
        .collect();
    let share = Share { part: part.unwrap_or(Partition::WHOLE), list: ListDigest::of(&all) };
    let durations = durations
        .map(|run| Ok::<_, anyhow::Error>(Results::load(&workspace.find_run(Some(run))?)?.durations()));
    let mine: BTreeSet<Cell> =
        partition::select(all, share.part, durations.transpose()?.as_ref()).into_iter().collect();
    for kernel_run in kernel_runs.iter_mut() {
        kernel_run.cells.retain(|(cell, _)| mine.contains(cell));
    }
    kernel_runs.retain(|kernel_run| !kernel_run.cells.is_empty());
    Ok(share)
}

/// A flag set by Ctrl-C, SIGTERM and SIGHUP.
pub fn stop_flag() -> Result<StopFlag> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("install signal handlers")?;
    }
    Ok(StopFlag::new(flag))
}

/// The part of a job that is the same in every place; the place fills in the paths of its programs.
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

/// The parameters of a run, besides its kernel runs.
pub struct Asked {
    /// The kernels, as on the command line.
    pub requested: Vec<String>,
    /// Those that are unavailable.
    pub absent: Vec<Absent>,
    /// The part of the list.
    pub share: Share,
}

/// The results of a kernel run; before its end, all of its cells are *not-run*.
type Known = (KernelInfo, Vec<CellResult>);

/// State shared by the kernel runs of a run.
struct RunContext<'a> {
    workspace: &'a Workspace,
    plan: &'a Plan,
    programs: &'a PerArch,
    dir: &'a Path,
    expectations: &'a Expectations,
    journal: &'a Journal,
    screen: Screen,
    stop: StopFlag,
}

/// Runs every kernel run and writes the reports. Returns the run's directory and its results.
pub fn execute(
    workspace: &Workspace,
    plan: &Plan,
    programs: &PerArch,
    corpora: &Corpora,
    asked: Asked,
    kernel_runs: Vec<KernelRun>,
) -> Result<(PathBuf, Results)> {
    let expected = workspace.root.join(EXPECTATIONS);
    let expectations = Expectations::load(&expected)?;
    expectations.check(&known(corpora), jiff::Zoned::now().date())?;
    let (id, dir) = workspace.new_run()?;
    let clock = Instant::now();
    let mut info = RunInfo {
        id,
        started: jiff::Timestamp::now(),
        wall_ms: 0,
        revision: workspace.revision(),
        host: host()?,
        compiler: workspace.compiler()?,
        command: std::env::args().skip(1).collect(),
        requested: asked.requested,
        seed: plan.seed,
        jobs: plan.jobs,
        retries: plan.retries,
        timeout_scale: plan.timeout_scale,
        expectations_sha256: match expected.is_file() {
            true => Some(fetch::digest(&expected)?.0),
            false => None,
        },
        part: asked.share.part,
        list: asked.share.list,
        interrupted: true,
    };
    let engines = programs.iter().map(|(arch, built)| Ok((*arch, built.about(&plan.engines)?)));
    let engines: BTreeMap<Arch, _> = engines.collect::<Result<_>>()?;
    let before = |kernel_run: &KernelRun| -> Known {
        let not_run =
            |(cell, _): &(Cell, bool)| CellResult::not_run(cell.clone(), repro(cell, &kernel_run.spot, plan));
        (
            kernel_run.spot.kernel_info(&engines[&kernel_run.spot.arch()]),
            kernel_run.cells.iter().map(not_run).collect(),
        )
    };
    let known: Mutex<Vec<Known>> = Mutex::new(kernel_runs.iter().map(before).collect());
    // The results so far, which an interrupted run also leaves.
    let results = |run: RunInfo| {
        let (kernels, cells): (Vec<_>, Vec<_>) = lock(&known).iter().cloned().unzip();
        let mut results = Results {
            version: results::VERSION,
            run,
            kernels,
            absent: asked.absent.clone(),
            expectations: Vec::new(),
            cells: cells.into_iter().flatten().collect(),
        };
        results.count_expectations(&expectations);
        results
    };
    results(info.clone()).save(&dir)?;
    let journal = Journal::begin(&dir)?;
    let context = RunContext {
        workspace,
        plan,
        programs,
        dir: &dir,
        expectations: &expectations,
        journal: &journal,
        screen: Screen::new(),
        stop: stop_flag()?,
    };
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(kernel_run) = kernel_runs.get(index).filter(|_| !context.stop.raised()) else {
                return Ok(());
            };
            let kernel = lock(&known)[index].0.clone();
            let came = context.run(kernel_run, kernel)?;
            lock(&known)[index] = came;
        }
    };
    let ended = thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.guests.max(1)).map(|_| scope.spawn(work)).collect();
        let mut all = Ok(());
        for worker in workers {
            match worker.join() {
                Ok(result) => all = all.and(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });

    let ended = ended.and_then(|()| {
        for (arch, built) in programs {
            let now = built.about(&plan.engines)?;
            for (name, before) in &engines[arch] {
                anyhow::ensure!(
                    now.get(name).is_some_and(|now| now.sha256 == before.sha256),
                    "engine {name}: {} has changed during the run: run again with a copy of it",
                    before.program
                );
            }
        }
        Ok(())
    });
    info.wall_ms = clock.elapsed().as_millis() as u64;
    info.interrupted = context.stop.raised() || ended.is_err();
    let mut results = results(info);
    results.save(&dir)?;
    if ended.is_err() {
        // The results of the failed kernel run are in the journal only.
        results = Results::load(&dir)?;
        results.save(&dir)?;
    }
    write_reports(&dir, &results)?;
    journal.end()?;
    ended.with_context(|| format!("the results so far are in {}", dir.display()))?;
    Ok((dir, results))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The command that reruns a cell with the parameters of this run.
fn repro(cell: &Cell, spot: &Spot, plan: &Plan) -> String {
    let mut words = vec![cell.to_string()];
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    if let Some(kernel) = spot.exactly() {
        add("--kernel", kernel);
    }
    if let Some(program) = plan.engines.get(&cell.engine).filter(|program| !program.as_os_str().is_empty()) {
        add("--engine-program", program.display().to_string());
    }
    if plan.seed != DEFAULT_SEED {
        add("--seed", plan.seed.to_string());
    }
    if plan.timeout_scale != 1.0 {
        add("--timeout-scale", plan.timeout_scale.to_string());
    }
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("cargo xtask repro {}", words.join(" "))
}

/// The names that expectations may refer to.
fn known(corpora: &Corpora) -> expectations::Known {
    let names = |list: &Vec<Workload>| list.iter().map(|workload| workload.name.clone()).collect();
    expectations::Known {
        workloads: corpora.iter().map(|(arch, list)| (arch.to_string(), names(list))).collect(),
        archs: Arch::ALL.iter().map(ToString::to_string).collect(),
        engines: engine::ALL.iter().map(ToString::to_string).collect(),
    }
}

impl RunContext<'_> {
    /// Runs one kernel run, on the kernel that `kernel` describes.
    fn run(&self, kernel_run: &KernelRun, kernel: KernelInfo) -> Result<Known> {
        let RunContext { plan, dir, screen, stop, .. } = self;
        let KernelRun { spot, cells } = kernel_run;
        let programs = &self.programs[&spot.arch()];
        let mut progress = screen.kernel(&spot.name(), cells.len());
        progress.note(&format!("{}: {} cells, {}", spot.name(), cells.len(), spot.describe()));
        let mut job = job(plan);
        spot.fill_in(&mut job, &plan.engines, programs)?;
        let keep = |result: &CellResult| {
            if let Err(error) = self.journal.keep(result) {
                screen.line(&error.to_string());
            }
        };
        let settings = Settings {
            job,
            retries: plan.retries,
            expectations: self.expectations,
            today: jiff::Zoned::now().date(),
            bundles: Bundles::new(dir, &self.workspace.root),
            repro: &|cell| repro(cell, spot, plan),
            journal: &keep,
        };
        let mut place: Box<dyn Place> = spot.place(programs, dir);
        let session = Session::new(&settings, kernel, cells.clone(), stop.clone());
        let (mut kernel, results) = session.run(place.as_mut(), &mut progress)?;
        if let (Spot::Guest(guest), Some(trial)) = (spot, &plan.trial)
            && let Some(module) = &guest.module
            && !stop.raised()
        {
            progress.note(&format!("{}: testing the kernel module, {trial}", spot.name()));
            let mut say = |line: &str| progress.trial(line);
            kernel.module = Some(trial.run(
                &guest.kernel,
                &guest.guest_programs,
                module,
                &guest.accel,
                stop,
                &mut say,
            )?);
        }
        Ok((kernel, results))
    }
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

/// Whether standard output supports colours.
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// This machine.
fn host() -> Result<Host> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").context("read the host's name")?;
    let (release, arch) = (host_release()?, std::env::consts::ARCH.to_owned());
    Ok(Host { name: name.trim().to_owned(), release, arch, cpus: cpus() })
}

/// Processors of this host.
pub fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parameters of the run that are not defaults of the command, quoted for a shell.
    #[test]
    fn a_repro_line_has_everything_that_a_cell_was_run_with() {
        let spot = Spot::Host { release: "6.18.0".into(), arch: Arch::X86_64 };
        let cell: Cell = "host/x86_64/dynamic/cairn/pipes/full/once".parse().unwrap();
        let mut plan = Plan {
            userlands: Vec::new(),
            engines: BTreeMap::from([("cairn".into(), PathBuf::new())]),
            modes: Vec::new(),
            selection: Selection::new::<&str>(&[]).unwrap(),
            jobs: 0,
            retries: 0,
            timeout_scale: 1.0,
            keep: false,
            seed: DEFAULT_SEED,
            guests: 1,
            trial: None,
        };
        assert_eq!(repro(&cell, &spot, &plan), format!("cargo xtask repro {cell}"));
        plan.engines.insert("cairn".into(), "/opt/my engine/cairn".into());
        (plan.seed, plan.timeout_scale) = (7, 2.5);
        assert_eq!(
            repro(&cell, &spot, &plan),
            format!(
                "cargo xtask repro {cell} --engine-program '/opt/my engine/cairn' --seed 7 --timeout-scale 2.5"
            )
        );
    }
}
