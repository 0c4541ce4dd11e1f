//! `cargo xtask test`: runs the corpus on kernels and judges every cell.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};
use cairn_testsuite::cell::Selection;
use cairn_testsuite::engine;
use cairn_testsuite::partition::Partition;
use cairn_testsuite::report::{Conclusion, terminal};
use clap::Parser;

use crate::corpora;
use crate::cross;
use crate::kernels::{self, KernelArgs};
use crate::module::Trial;
use crate::out;
use crate::programs;
use crate::run::{self, Asked, Plan};
use crate::run_args::RunArgs;
use crate::usage::usage;
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    pub kernels: KernelArgs,
    #[command(flatten)]
    pub run: RunArgs,
    /// Run only these workloads: a glob over group/name, or a group; repeatable
    #[arg(long, value_name = "GLOB")]
    pub workload: Vec<String>,
    /// Run only this part of all cells, chosen by their names; `report --merge` merges the parts
    #[arg(long, value_name = "K/N")]
    pub partition: Option<Partition>,
    /// Balance the parts by the durations of this run; must be the same for every part
    #[arg(long, value_name = "RUN", requires = "partition")]
    pub durations: Option<String>,
    /// Also test the kernel module wherever it is loaded, with random requests for this many
    /// seconds (see kmod-test)
    #[arg(long, value_name = "SECONDS")]
    pub kmod_test: Option<u64>,
    /// Print the cells without running them
    #[arg(long)]
    pub dry_run: bool,
}

/// A guest has no interpreter for scripts.
fn can_travel(plan: &Plan) -> Result<()> {
    for (name, program) in plan.engines.iter().filter(|(_, program)| !program.as_os_str().is_empty()) {
        let mut magic = [0; 4];
        let read = File::open(program).and_then(|mut file| file.read(&mut magic));
        if read.with_context(|| format!("read {}", program.display()))? < 4 || magic != *b"\x7fELF" {
            usage!(
                "engine {name}: {} is not an ELF program, and a guest has no interpreter for it",
                program.display()
            );
        }
    }
    Ok(())
}

/// Probes the versions of engines that were given as programs, on this host, before anything is
/// built or booted.
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
    let workspace = Workspace::find()?;
    let mut plan = args.run.plan(Selection::new(&args.workload)?)?;
    let source = &args.kernels.source;
    let mut choice = kernels::choose(&workspace, &args.kernels)?;
    if choice.has_guests() {
        can_travel(&plan)?;
    }
    if choice.archs()? == [cross::host()?] {
        probe(&plan)?;
    }
    if let Some(seconds) = args.kmod_test {
        if !plan.engines.keys().any(|name| engine::needs_module(name)) {
            usage!("--kmod-test needs an engine with the kernel module: --engine {}", engine::CAIRN_KMOD);
        }
        plan.trial = Some(Trial::plan(&workspace, choice.archs()?, source, seconds, args.run.seed)?);
    }
    eprintln!("building engine, corpus and guest");
    let programs = programs::build_all(&workspace, &choice.archs()?, source, plan.wanted(source.offline))?;
    let spots = choice.prepare(&workspace, source, &plan, &programs)?;
    let corpora = corpora::of(&workspace, &programs, &spots)?;
    let mut kernel_runs = plan.kernel_runs(&corpora, spots);
    let names = corpora.values().flatten().map(|workload| workload.name.as_str());
    if let Some(pattern) = plan.selection.idle(names).first() {
        usage!("--workload {pattern}: no workload matches; `cargo xtask workloads` lists all");
    }
    if kernel_runs.iter().all(|kernel_run| kernel_run.cells.is_empty()) {
        usage!("no cell is selected; `cargo xtask workloads` lists all workloads");
    }
    let share = run::take_part(&workspace, &mut kernel_runs, args.partition, args.durations.as_deref())?;
    if args.dry_run {
        for kernel_run in &kernel_runs {
            let cells: String = kernel_run.cells.iter().map(|(cell, _)| format!("{cell}\n")).collect();
            out::print(&cells)?;
            eprintln!(
                "{}: {} cells, {}",
                kernel_run.spot.name(),
                kernel_run.cells.len(),
                kernel_run.spot.describe()
            );
        }
        return Ok(Conclusion::Green);
    }
    let requested = args.kernels.kernel.iter().map(ToString::to_string).collect();
    let asked = Asked { requested, absent: choice.absent, share };
    let (dir, results) = run::execute(&workspace, &plan, &programs, &corpora, asked, kernel_runs)?;
    out::print(&terminal::render(&results, run::colour()))?;
    out::print(&format!("{}\n", dir.join("index.html").display()))?;
    Ok(results.conclusion())
}
