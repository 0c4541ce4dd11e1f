//! `cargo xtask sensitivity`: a harness that cannot fail is worthless.
//!
//! The engine is built with its planted faults. For each, the corpus is run until some cell goes
//! red, in an order that puts the likely groups first. A red cell counts as a catch only if the
//! same cell passes with the same engine and no fault; otherwise it would "catch" everything. A
//! fault that nothing catches makes the command fail.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cairn_qemu::Arch;
use cairn_qemu::kernels::Selector;
use cairn_testsuite::bundle::Bundles;
use cairn_testsuite::cell::{Cell, Mode, Selection, Userland};
use cairn_testsuite::driver::guest::{engine_path, open_cache};
use cairn_testsuite::driver::{Session, Settings, StopFlag};
use cairn_testsuite::expectations::Expectations;
use cairn_testsuite::report::{CellResult, KernelInfo};
use cairn_testsuite::verdict::Verdict;
use clap::Parser;
use serde::{Deserialize, Serialize};

use crate::corpora;
use crate::cross;
use crate::kernels::{self, ArchArg, KernelArgs};
use crate::places::Spot;
use crate::programs::{self, Programs, Wanted};
use crate::progress::Screen;
use crate::run::{self, KernelRun, Plan};
use crate::run_args::RunArgs;
use crate::source::KernelSource;
use crate::workspace::Workspace;

/// Environment variable that selects the fault of a faulty engine.
const FAULT: &str = "CAIRN_FAULT";

#[derive(Parser)]
pub struct Args {
    /// Kernels to run on; faults not caught on the first, because it lacks a feature, are tried on
    /// the next. A host needs free huge pages for everything to be caught; guests have them
    #[arg(long, default_values = ["6.12", "7.3"])]
    kernel: Vec<Selector>,
    /// Architecture of the guest [default: this machine's own]
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// Plant only these faults
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
    /// Run only these workloads: a glob over group/name, or a group; repeatable
    #[arg(long, value_name = "GLOB")]
    workload: Vec<String>,
    /// Run the whole corpus against each fault and list every cell that catches it
    #[arg(long)]
    exhaustive: bool,
    /// Number of cells run concurrently
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    jobs: usize,
    /// Factor on every time limit; some faults make a workload hang
    #[arg(long, default_value_t = 0.25)]
    timeout_scale: f64,
    #[command(flatten)]
    source: KernelSource,
}

/// One line of `cairn faults --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Fault {
    name: String,
    what: String,
    phase: String,
}

/// Result of one fault.
#[derive(Debug, Serialize)]
struct Caught {
    #[serde(flatten)]
    fault: Fault,
    /// The cells that caught it.
    by: Vec<CellResult>,
    wall_ms: u64,
}

/// Words in a fault's name or description, and the groups of workloads that such a fault most
/// likely hurts.
const LIKELY: &[(&[&str], &str)] = &[
    (&["pipe", "fifo", "packet"], "pipes"),
    (&["seccomp"], "seccomp"),
    (&["segment", "semaphore", "message"], "ipc"),
    (&["pty"], "terminals"),
    (&["ring"], "rings"),
    (&["socket"], "unix"),
    (&["tcp"], "tcp"),
    (&["udp", "netlink"], "udp"),
    (&["eventfd", "timerfd", "pidfd", "epoll", "signalfd", "inotify"], "events"),
    (
        &[
            "fp", "sse", "avx", "xmm", "ymm", "zmm", "vector", "x87", "mxcsr", "xsave", "pkru", "fs_base",
            "fsbase",
        ],
        "fp",
    ),
    (&["signal", "sigaction", "altstack", "pending", "mask"], "signals"),
    (&["timer", "alarm", "overrun"], "timers"),
    (&["thread", "tls", "robust", "rseq", "tid"], "threads"),
    (&["zombie", "session", "pgid", "sid", "child", "parent", "orphan", "group"], "tree"),
    (&["uid", "gid", "cap", "umask", "nice", "rlimit", "oom", "privs", "cred", "slack", "pdeath"], "creds"),
    (
        &["fd", "descriptor", "offset", "unlinked", "cloexec", "file", "dup", "directory", "append", "cwd"],
        "files",
    ),
    (
        &["page", "mapping", "memory", "heap", "huge", "vma", "madvise", "mlock", "shared", "guard", "zero"],
        "memory",
    ),
    (&["comm", "exe", "argv", "auxv", "environment", "brk", "personality", "dumpable", "vdso"], "process"),
];

pub fn run(args: &Args) -> Result<bool> {
    let workspace = Workspace::find()?;
    let run = RunArgs {
        engine: vec!["cairn".to_owned()],
        mode: vec![Mode::Once, Mode::Job, Mode::Script],
        userland: vec![Userland::Dynamic],
        jobs: args.jobs,
        retries: 0,
        timeout_scale: args.timeout_scale,
        seed: 1,
        keep: false,
        guests: 1,
    };
    let plan = run.plan(Selection::new(&args.workload)?)?;
    let flags = KernelArgs {
        kernel: args.kernel.clone(),
        arch: args.arch.map(ArchArg::One).into_iter().collect(),
        allow_missing: false,
        source: args.source.clone(),
    };
    let mut choice = kernels::choose(&workspace, &flags)?;
    let archs = choice.archs()?;
    let wanted = Wanted { offline: args.source.offline, ..Wanted::default() };
    eprintln!("building the engine with and without planted faults");
    let normal = programs::build_all(&workspace, &archs, &flags.source, wanted)?;
    let faulty = programs::build_all(&workspace, &archs, &flags.source, Wanted { faults: true, ..wanted })?;
    let spots = choice.prepare(&workspace, &flags.source, &plan, &faulty)?;
    let first = spots.first().context("no kernel is selected")?;
    if spots.iter().any(|spot| spot.arch() != first.arch()) {
        bail!("several architectures are selected, expected one: add --arch");
    }
    let arch = first.arch();
    if faults_of(&normal[&arch], first).is_ok() {
        bail!("a normal build of the engine has the subcommand `faults`: it must not contain planted faults");
    }
    let mut faults = faults_of(&faulty[&arch], first)?;
    if let Some(unknown) = args.fault.iter().find(|name| faults.iter().all(|f| f.name != **name)) {
        let known: Vec<&str> = faults.iter().map(|f| f.name.as_str()).collect();
        bail!("no fault {unknown} (known: {})", known.join(", "));
    }
    faults.retain(|fault| args.fault.is_empty() || args.fault.contains(&fault.name));
    let expectations = Expectations::load(&workspace.root.join("expectations.toml"))?;
    let (id, dir) = workspace.new_run()?;
    let stop = run::stop_flag()?;
    let mut caught: Vec<Caught> = Vec::new();
    let mut not_caught: Vec<Caught> = Vec::new();
    let mut unfit: BTreeSet<Cell> = BTreeSet::new();
    for KernelRun { spot, mut cells } in plan.kernel_runs(&corpora::of(&workspace, &faulty, &spots)?, spots) {
        // The session and process group of a workload matter only to the group `tree`.
        cells.retain(|(cell, _)| cell.mode == Mode::Once || cell.group() == "tree");
        let kernel = spot.kernel_info(&faulty[&arch].about(&plan.engines)?);
        // A cell that may fail without a fault cannot catch one.
        let release = kernel.release();
        cells.retain(|(cell, _)| !expectations.entries().iter().any(|entry| entry.speaks_of(cell, release)));
        if cells.is_empty() {
            bail!("no cell is selected");
        }
        println!("{} faults, {} cells, {}", faults.len(), cells.len(), spot.describe());
        let hunt = Hunt {
            plan: &plan,
            programs: &faulty[&arch],
            spot: &spot,
            root: &workspace.root,
            dir: &dir.join(&kernel.release),
            kernel,
            stop: stop.clone(),
        };
        let mut missed = Vec::new();
        for fault in faults {
            if stop.raised() {
                bail!("interrupted");
            }
            let clock = Instant::now();
            let mut ordered: Vec<(Cell, bool)> =
                cells.iter().filter(|(cell, _)| !unfit.contains(cell)).cloned().collect();
            ordered.sort_by_key(|(cell, _)| std::cmp::Reverse(score(&fault, cell)));
            let by = hunt.catch(&fault, ordered, args.exhaustive, &mut unfit)?;
            let entry = Caught { by, wall_ms: clock.elapsed().as_millis() as u64, fault };
            println!("{}", line(&entry));
            if entry.by.is_empty() {
                missed.push(entry);
            } else {
                caught.push(entry);
            }
        }
        faults = missed.iter().map(|entry| entry.fault.clone()).collect();
        not_caught = missed;
        if faults.is_empty() {
            break;
        }
    }
    let missed: Vec<&str> = not_caught.iter().map(|entry| entry.fault.name.as_str()).collect();
    let count = caught.len();
    let all: Vec<&Caught> = caught.iter().chain(&not_caught).collect();
    let path = dir.join("sensitivity.json");
    std::fs::write(&path, serde_json::to_string_pretty(&all)? + "\n").context("write sensitivity.json")?;
    println!("{count} of {} faults caught; run {id}", all.len());
    if !unfit.is_empty() {
        println!("excluded, because they fail without any fault:");
        unfit.iter().for_each(|cell| println!("  {cell}"));
    }
    if !missed.is_empty() {
        println!("not caught: {}", missed.join(", "));
    }
    Ok(missed.is_empty())
}

/// `fault  caught by workload at stage  (1.2 s)`.
fn line(entry: &Caught) -> String {
    let words = match entry.by.as_slice() {
        [] => "NOT CAUGHT".to_owned(),
        [first, rest @ ..] => {
            let stage = first.stage.map(|stage| format!(" at {stage}")).unwrap_or_default();
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            format!("caught by {} ({}{stage}){more}", first.cell.workload, first.verdict)
        }
    };
    format!("{:28} {words}  {:.1} s", entry.fault.name, entry.wall_ms as f64 / 1000.0)
}

/// How likely a cell catches a fault: the number of words that hint at its group, with a higher
/// weight for the workload's own name.
fn score(fault: &Fault, cell: &Cell) -> usize {
    let text = format!("{} {}", fault.name, fault.what).to_lowercase();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|w| w.len() > 2).collect();
    let group: usize = LIKELY
        .iter()
        .filter(|(_, group)| *group == cell.group())
        .flat_map(|(hints, _)| hints.iter())
        .map(|hint| if fault.name.contains(hint) { 3 } else { usize::from(words.contains(hint)) })
        .sum();
    let own = cell.workload.split(['/', '-']).filter(|part| words.contains(part)).count();
    group + 2 * own
}

/// The faults that an engine lists. An engine for another architecture is run in a guest.
fn faults_of(built: &Programs, spot: &Spot) -> Result<Vec<Fault>> {
    const COMMAND: [&str; 2] = ["faults", "--json"];
    let program = built.cairn.clone().context("the engine was not built")?;
    let said = match spot {
        Spot::Guest(guest) if guest.kernel.arch != cross::host()? => {
            let guest_programs = built.guest_programs([("cairn".to_owned(), program)].into());
            let base = guest_programs.base(&guest.kernel, &open_cache()?)?;
            let command: Vec<String> =
                std::iter::once(engine_path("cairn")).chain(COMMAND.map(str::to_owned)).collect();
            corpora::ask(guest, &base, &command.iter().map(String::as_str).collect::<Vec<_>>())?.into_bytes()
        }
        _ => {
            let output = Command::new(&program)
                .args(COMMAND)
                .stdin(Stdio::null())
                .output()
                .with_context(|| format!("start {}", program.display()))?;
            if !output.status.success() {
                bail!("cairn faults --json: {}", output.status);
            }
            output.stdout
        }
    };
    serde_json::from_slice(&said).context("read cairn faults --json")
}

/// State shared by all faults.
struct Hunt<'a> {
    plan: &'a Plan,
    programs: &'a Programs,
    spot: &'a Spot,
    kernel: KernelInfo,
    root: &'a Path,
    dir: &'a Path,
    stop: StopFlag,
}

impl Hunt<'_> {
    /// The cells that are red only because of this fault.
    fn catch(
        &self,
        fault: &Fault,
        mut cells: Vec<(Cell, bool)>,
        exhaustive: bool,
        unfit: &mut BTreeSet<Cell>,
    ) -> Result<Vec<CellResult>> {
        loop {
            let results = self.run(Some(&fault.name), cells.clone(), !exhaustive)?;
            let red: Vec<CellResult> = results.into_iter().filter(|r| is_catch(r.verdict)).collect();
            if red.is_empty() || self.stop.raised() {
                return Ok(Vec::new());
            }
            let again =
                cells.iter().filter(|(cell, _)| red.iter().any(|r| r.cell == *cell)).cloned().collect();
            let without = self.run(None, again, false)?;
            let honest: BTreeSet<&Cell> =
                without.iter().filter(|r| !r.verdict.is_red()).map(|r| &r.cell).collect();
            let (by, others): (Vec<CellResult>, Vec<CellResult>) =
                red.into_iter().partition(|r| honest.contains(&r.cell));
            unfit.extend(others.into_iter().map(|r| r.cell));
            if !by.is_empty() || exhaustive {
                return Ok(by);
            }
            cells.retain(|(cell, _)| !unfit.contains(cell));
        }
    }

    fn run(&self, fault: Option<&str>, cells: Vec<(Cell, bool)>, fail_fast: bool) -> Result<Vec<CellResult>> {
        let mut job = run::job(self.plan);
        self.spot.fill_in(&mut job, &self.plan.engines, self.programs)?;
        job.fail_fast = fail_fast;
        job.artifact_limit = 1 << 20;
        if let Some(fault) = fault {
            job.engine_env.insert(FAULT.to_owned(), fault.to_owned());
        }
        let nothing = Expectations::default();
        let settings = Settings {
            job,
            retries: 0,
            expectations: &nothing,
            today: jiff::Zoned::now().date(),
            bundles: Bundles::new(&self.dir.join(fault.unwrap_or("without")), self.root),
            repro: &|cell: &Cell| format!("cargo xtask repro {cell}"),
            journal: &|_| {},
        };
        let screen = Screen::quiet();
        let mut progress = screen.kernel(fault.unwrap_or("none"), cells.len());
        let mut place = self.spot.place(self.programs, self.dir);
        let session = Session::new(&settings, self.kernel.clone(), cells, self.stop.clone());
        Ok(session.run(place.as_mut(), &mut progress)?.1)
    }
}

/// Whether a verdict means that the engine failed, not the harness.
fn is_catch(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Fail | Verdict::Timeout | Verdict::Panic | Verdict::Splat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likely_groups_come_first() {
        let fault = Fault {
            name: "pipe-loses-last-byte".into(),
            what: "the last byte of a pipe's buffer is dropped".into(),
            phase: "checkpoint".into(),
        };
        let cell =
            |workload: &str| format!("host/x86_64/dynamic/cairn/{workload}/once").parse::<Cell>().unwrap();
        assert!(score(&fault, &cell("pipes/full")) > score(&fault, &cell("memory/heap")));
        assert!(score(&fault, &cell("pipes/last-byte")) > score(&fault, &cell("pipes/full")));
    }
}
