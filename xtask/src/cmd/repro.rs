//! `cargo xtask repro CELL`: reruns one cell and keeps all of its output.

use anyhow::{Context, Result};
use cairn_qemu::kernels::Selector;
use cairn_testsuite::bundle::Bundles;
use cairn_testsuite::cell::{Cell, Selection};
use cairn_testsuite::report::{Conclusion, terminal};
use clap::Parser;

use crate::corpora;
use crate::kernels::{self, KernelArgs};
use crate::programs;
use crate::run::{self, Asked, DEFAULT_SEED};
use crate::run_args::RunArgs;
use crate::source::KernelSource;
use crate::usage::usage;
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    /// The cell, as named in reports: KERNEL/ARCH/USERLAND/ENGINE/GROUP/NAME/MODE
    cell: Cell,
    /// Kernel to use: a point release, or a kernel file [default: that in the cell's name]
    #[arg(long)]
    kernel: Option<Selector>,
    /// Seed passed to the workload
    #[arg(long, default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Engine program to use instead of the one built from this tree
    #[arg(long, value_name = "PROGRAM")]
    engine_program: Option<String>,
    /// How often a red cell is retried
    #[arg(long, default_value_t = 0)]
    retries: u32,
    /// Factor on every time limit
    #[arg(long, default_value_t = 1.0)]
    timeout_scale: f64,
    /// Keep the cell's directory (on the host)
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    source: KernelSource,
}

pub fn run(args: &Args) -> Result<Conclusion> {
    let workspace = Workspace::find()?;
    let cell = &args.cell;
    let run = RunArgs {
        engine: vec![match &args.engine_program {
            Some(program) => format!("{}={program}", cell.engine),
            None => cell.engine.clone(),
        }],
        mode: vec![cell.mode],
        userland: vec![cell.userland],
        jobs: 1,
        retries: args.retries,
        timeout_scale: args.timeout_scale,
        seed: args.seed,
        keep: args.keep,
        guests: 1,
    };
    let plan = run.plan(Selection::new(&[&cell.workload])?)?;
    let kernel = match &args.kernel {
        Some(kernel) => kernel.clone(),
        None => cell.kernel.parse()?,
    };
    let requested = vec![kernel.to_string()];
    let flags = KernelArgs {
        kernel: vec![kernel],
        arch: vec![cell.arch.parse()?],
        allow_missing: false,
        source: args.source.clone(),
    };
    let mut choice = kernels::choose(&workspace, &flags)?;
    let wanted = plan.wanted(args.source.offline);
    let programs = programs::build_all(&workspace, &choice.archs()?, &flags.source, wanted)?;
    let spots = choice.prepare(&workspace, &flags.source, &plan, &programs)?;
    let corpora = corpora::of(&workspace, &programs, &spots)?;
    let mut kernel_runs = plan.kernel_runs(&corpora, spots);
    if kernel_runs.iter().all(|kernel_run| kernel_run.cells.is_empty()) {
        usage!("the corpus has no {} for the {} build", cell.workload, cell.userland);
    }
    let share = run::take_part(&workspace, &mut kernel_runs, None, None)?;
    let asked = Asked { requested, absent: choice.absent, share };
    let (dir, results) = run::execute(&workspace, &plan, &programs, &corpora, asked, kernel_runs)?;
    print!("{}", terminal::render(&results, run::colour()));
    if let Some(red) = results.red().next() {
        let bundle = dir.join(Bundles::relative(&red.cell));
        let mut names: Vec<String> = std::fs::read_dir(&bundle)
            .with_context(|| format!("list {}", bundle.display()))?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        println!("{}: {}", bundle.display(), names.join(" "));
    }
    if results.is_green() {
        println!(
            "\nNOT REPRODUCED: {}, seed {}, {} attempts. If it was red elsewhere, compare kernel, engine and \
             this machine with its cell.json.",
            results
                .cells
                .iter()
                .map(|cell| format!("{} {}", cell.cell, cell.verdict))
                .collect::<Vec<_>>()
                .join(", "),
            args.seed,
            results.cells.iter().map(|cell| cell.attempts).sum::<u32>(),
        );
    }
    Ok(results.conclusion())
}
