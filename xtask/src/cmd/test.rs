//! `cargo xtask test`: the main job.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_testsuite::cell::{Mode, Selection, Userland};
use cairn_testsuite::engine;
use cairn_testsuite::partition::Partition;
use cairn_testsuite::report::{Conclusion, terminal};
use clap::Parser;

use crate::campaign::{self, Asked, DEFAULT_SEED, Plan};
use crate::cmd::kmod_test::Trial;
use crate::corpora;
use crate::cross;
use crate::kernels::{self, KernelArgs};
use crate::out;
use crate::programs;
use crate::room::Room;
use crate::usage::usage;

#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    pub kernels: KernelArgs,
    #[command(flatten)]
    pub how: How,
    /// Only these workloads: a glob over group/name, or a group; repeatable
    #[arg(long, value_name = "GLOB")]
    pub workload: Vec<String>,
    /// Only this part of all cells, which follows from their names; `report --merge` puts the parts
    /// together
    #[arg(long, value_name = "K/N")]
    pub partition: Option<Partition>,
    /// Balance the parts by what cells took in this run; every part has to be given the same
    #[arg(long, value_name = "RUN", requires = "partition")]
    pub durations: Option<String>,
    /// Put the kernel module to the test, too, wherever it is loaded, with requests at random for
    /// so many seconds (see kmod-test)
    #[arg(long, value_name = "SECONDS")]
    pub kmod_test: Option<u64>,
    /// Print the cells and run nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// How cells are run; shared by the commands that run any.
#[derive(Parser)]
pub struct How {
    /// Engine to judge, NAME or NAME=PROGRAM; without a program it is built from this tree
    #[arg(long, value_name = "NAME[=PROGRAM]", default_value = "cairn")]
    pub engine: Vec<String>,
    /// Modes to run; all when left out
    #[arg(long)]
    pub mode: Vec<Mode>,
    /// Builds of the corpus to run; all when left out
    #[arg(long)]
    pub userland: Vec<Userland>,
    /// Cells at once in one place; one for each processor when left out
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub jobs: usize,
    /// How often a red cell is tried again; one that then passes is flaky
    #[arg(long, default_value_t = 0)]
    pub retries: u32,
    /// Factor on every time limit
    #[arg(long, default_value_t = 1.0)]
    pub timeout_scale: f64,
    /// Given to every workload
    #[arg(long, default_value_t = DEFAULT_SEED)]
    pub seed: u64,
    /// Leave the cells' directories behind
    #[arg(long)]
    pub keep: bool,
    /// Guests at once
    #[arg(long, default_value_t = 1)]
    pub guests: usize,
}

/// Largest factor on time limits: a cell's minute becomes most of a day.
const MOST_SCALE: f64 = 1000.0;

impl How {
    /// The plan for a selection, with the engines that need no build already resolved.
    pub fn plan(&self, selection: Selection) -> Result<Plan> {
        if !(self.timeout_scale > 0.0 && self.timeout_scale <= MOST_SCALE) {
            usage!("--timeout-scale must be greater than 0, and {MOST_SCALE} at most");
        }
        let modes = each_once(&self.mode, Mode::ALL);
        let userlands = each_once(&self.userland, Userland::ALL);
        let mut engines = BTreeMap::new();
        for text in &self.engine {
            let (name, program) = match text.split_once('=') {
                Some((_, "")) => usage!("--engine {text}: there is no program behind the `=`"),
                Some((name, program)) => (
                    name,
                    std::path::absolute(program).with_context(|| format!("find the program of {text}"))?,
                ),
                None => (text.as_str(), PathBuf::new()),
            };
            if !engine::ALL.contains(&name) {
                usage!("no adapter for engine `{name}` (known: {})", engine::ALL.join(", "));
            }
            if !program.as_os_str().is_empty() {
                check_program(name, &program)?;
            }
            if engines.insert(name.to_owned(), program).is_some() {
                usage!("engine {name} is given twice");
            }
        }
        Ok(Plan {
            userlands,
            engines,
            modes,
            selection,
            jobs: self.jobs,
            retries: self.retries,
            timeout_scale: self.timeout_scale,
            keep: self.keep,
            seed: self.seed,
            guests: self.guests,
            trial: None,
        })
    }
}

/// What was given, nothing twice; everything when nothing was.
fn each_once<T: Copy + PartialEq>(given: &[T], all: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for one in if given.is_empty() { all } else { given } {
        if !once.contains(one) {
            once.push(*one);
        }
    }
    once
}

/// What is no program is told before anything is built.
fn check_program(name: &str, program: &Path) -> Result<()> {
    let permissions = match program.metadata() {
        Ok(about) if about.is_file() => about.permissions().mode(),
        Ok(_) => usage!("engine {name}: {} is no file", program.display()),
        Err(error) => usage!("engine {name}: {}: {error}", program.display()),
    };
    if permissions & 0o111 == 0 {
        usage!("engine {name}: {} is not executable", program.display());
    }
    Ok(())
}

/// A guest has no interpreter for scripts.
fn can_travel(plan: &Plan) -> Result<()> {
    for (name, program) in plan.engines.iter().filter(|(_, program)| !program.as_os_str().is_empty()) {
        let mut magic = [0; 4];
        let read = File::open(program).and_then(|mut file| file.read(&mut magic));
        if read.with_context(|| format!("read {}", program.display()))? < 4 || magic != *b"\x7fELF" {
            usage!(
                "engine {name}: {} is no ELF program, and a guest has nothing else to run it",
                program.display()
            );
        }
    }
    Ok(())
}

/// Asks the engines that were given as programs who they are, here, before anything is built or
/// booted.
fn probe(plan: &Plan) -> Result<()> {
    for (name, program) in plan.engines.iter().filter(|(_, program)| !program.as_os_str().is_empty()) {
        let limit = engine::PROBE_LIMIT.mul_f64(plan.timeout_scale);
        if let Err(why) = engine::probe(name, program, limit) {
            usage!("engine {name}: {why}");
        }
    }
    Ok(())
}

pub fn run(args: &Args) -> Result<Conclusion> {
    let room = Room::find()?;
    let mut plan = args.how.plan(Selection::new(&args.workload)?)?;
    let source = &args.kernels.source;
    let mut choice = kernels::choose(&room, &args.kernels)?;
    if choice.has_guests() {
        can_travel(&plan)?;
    }
    if choice.archs()? == [cross::host()?] {
        probe(&plan)?;
    }
    if let Some(seconds) = args.kmod_test {
        if !plan.engines.keys().any(|name| engine::needs_module(name)) {
            usage!("--kmod-test takes an engine with the kernel module: --engine {}", engine::CAIRN_KMOD);
        }
        plan.trial = Some(Trial::plan(&room, choice.archs()?, source, seconds, args.how.seed)?);
    }
    eprintln!("building engine, corpus and guest");
    let programs = programs::build_all(&room, &choice.archs()?, source, plan.wanted(source.offline))?;
    let spots = choice.prepare(&room, source, &plan, &programs)?;
    let corpora = corpora::of(&room, &programs, &spots)?;
    let mut legs = plan.legs(&corpora, spots);
    let names = corpora.values().flatten().map(|workload| workload.name.as_str());
    if let Some(pattern) = plan.selection.idle(names).first() {
        usage!("--workload {pattern}: the corpus has none; `cargo xtask workloads` lists what there is");
    }
    if legs.iter().all(|leg| leg.cells.is_empty()) {
        usage!("no cell is selected; `cargo xtask workloads` lists what there is");
    }
    let share = campaign::take_part(&room, &mut legs, args.partition, args.durations.as_deref())?;
    if args.dry_run {
        for leg in &legs {
            let cells: String = leg.cells.iter().map(|(cell, _)| format!("{cell}\n")).collect();
            out::print(&cells)?;
            eprintln!("{}: {} cells, {}", leg.spot.name(), leg.cells.len(), leg.spot.describe());
        }
        return Ok(Conclusion::Green);
    }
    let requested = args.kernels.kernel.iter().map(ToString::to_string).collect();
    let asked = Asked { requested, absent: choice.absent, share };
    let (dir, results) = campaign::run(&room, &plan, &programs, &corpora, asked, legs)?;
    out::print(&terminal::render(&results, campaign::colour()))?;
    out::print(&format!("{}\n", dir.join("index.html").display()))?;
    Ok(results.conclusion())
}
