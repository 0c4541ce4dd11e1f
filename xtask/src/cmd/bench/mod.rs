//! `cargo xtask bench`: the cost of checkpoint and restart, by size and number of objects.
//!
//! A target of the given size is started, saved, killed and restarted, several times; the median is
//! reported. The pause is how long the target was frozen. CRIU is measured in the same run if it is
//! installed and works here; in a guest, the kernel module is.

mod measure;

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use cairn_qemu::guest::{Boot, Guest, Said};
use cairn_qemu::job::GuestJob;
use cairn_qemu::kernels::{Kernel, Selector};
use cairn_qemu::{Cache, probe, progress};
use cairn_testsuite::cell::Userland;
use cairn_testsuite::driver::guest::corpus_path;
use clap::Parser;
use rustix::process::{Resource, Rlimit, setrlimit};

use self::measure::{Engine, Plan, Point, Sweep};
use crate::cross::Toolchain;
use crate::kernels::{self, KernelArgs};
use crate::places::CPUS;
use crate::programs::{self, Programs, Wanted};
use crate::source::KernelSource;
use crate::workspace::Workspace;

/// Paths of this program and the engine in a guest.
const PROGRAM: &str = "/usr/bin/xtask";
const CAIRN: &str = "/usr/bin/cairn";

#[derive(Parser)]
pub struct Args {
    /// Sweeps to run [default: all]
    #[arg(value_enum)]
    sweep: Vec<Sweep>,
    /// Measure in a guest with this kernel, with ptrace and with the kernel module, and compare;
    /// repeatable. Default: measure on this host
    #[arg(long, value_name = "KERNEL")]
    kernel: Vec<Selector>,
    /// How often each point is measured; the median is reported
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Skip points above this many MiB of memory [default: 4096, in guests 1024]
    #[arg(long)]
    max_mib: Option<u64>,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    source: KernelSource,
    /// This process runs in the guest
    #[arg(long, hide = true)]
    inside: bool,
}

pub fn run(args: &Args) -> Result<bool> {
    if args.inside {
        return inside(args);
    }
    let workspace = Workspace::find()?;
    let wanted = Wanted { offline: args.source.offline, ..Wanted::default() };
    let built = programs::build(&workspace, &Toolchain::native()?, wanted)?;
    let mut table = Table::default();
    if args.kernel.is_empty() {
        on_the_host(args, &built, &mut table)?;
    } else {
        let flags = KernelArgs {
            kernel: args.kernel.clone(),
            arch: Vec::new(),
            allow_missing: false,
            source: args.source.clone(),
        };
        for kernel in kernels::choose(&workspace, &flags)?.obtain(&args.source)? {
            in_a_guest(args, &workspace, &built, &kernel, &mut table)?;
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&table.points)? + "\n";
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(true)
}

fn on_the_host(args: &Args, built: &Programs, table: &mut Table) -> Result<()> {
    let cairn = built.cairn.clone().context("the engine was not built")?;
    let criu = measure::criu_that_works();
    if criu.is_none() {
        println!("no criu that works on this kernel is installed; measuring cairn only");
    }
    let engines = [(Engine::Cairn, Some(cairn)), (Engine::Criu, criu)];
    let plan = Plan {
        sweeps: &args.sweep,
        repeat: args.repeat,
        max_mib: args.max_mib.unwrap_or(4096),
        engines: engines.into_iter().filter_map(|(engine, program)| Some((engine, program?))).collect(),
        corpus: built.workloads[&Userland::Dynamic].clone(),
    };
    table.begin("host");
    plan.carry_out(&mut |point| {
        table.add(point);
        Ok(())
    })
}

/// Boots a guest in which this program measures, and reads its results.
fn in_a_guest(
    args: &Args,
    workspace: &Workspace,
    built: &Programs,
    kernel: &Kernel,
    table: &mut Table,
) -> Result<()> {
    let max_mib = args.max_mib.unwrap_or(1024);
    let cache = Cache::from_env()?;
    let accel = probe::probe(kernel, &built.init, &cache, &progress::Stderr::default())?;
    let cairn = built.cairn.clone().context("the engine was not built")?;
    let own = std::env::current_exe().context("find this executable")?;
    let base = built
        .guest_programs([("cairn".to_owned(), cairn)].into())
        .pack(kernel)?
        .program(&own, PROGRAM)?
        .program("/usr/bin/setsid".as_ref(), "/usr/bin/setsid")?
        .program("/usr/bin/tail".as_ref(), "/usr/bin/tail")?
        .build(&cache)?;
    let mut command = vec![PROGRAM.to_owned(), "bench".to_owned(), "--inside".to_owned()];
    command.extend([
        "--repeat".to_owned(),
        args.repeat.to_string(),
        "--max-mib".to_owned(),
        max_mib.to_string(),
    ]);
    command.extend(args.sweep.iter().map(|sweep| sweep.name()));
    let mut job = GuestJob { command, ..GuestJob::default() };
    println!("{}, {}", kernel.release, accel.name());
    match crate::module::for_kernel(workspace, kernel, &args.source)? {
        Ok(module) => job.load("cairn", module, ""),
        Err(absence) => println!("without the kernel module: {absence}"),
    }
    let dir = tempfile::Builder::new().prefix("cairn-bench-").tempdir()?;
    let mut boot = Boot::new(kernel, &base, &job, dir.path(), accel.clone());
    // Room for the target and its context file, with half of memory for files, and for all other
    // processes.
    (boot.cpus, boot.memory_mib) = (CPUS, 1024 + 3 * u32::try_from(max_mib)?);
    boot.idle_timeout = Duration::from_secs(600);
    boot.total_timeout = Duration::from_secs(3600);
    let boot = boot.scaled(accel.time_scale(kernel));
    table.begin(&kernel.release);
    let failed = RefCell::new(Ok(()));
    let heard = Guest::boot(&boot).context("boot")?.listen(&|| failed.borrow().is_err(), &mut |said| {
        let taken = match said {
            Said::Line(line) => serde_json::from_str(line)
                .context("parse the output of the guest")
                .map(|point| table.add(point)),
            Said::Splat(splat) => Err(anyhow!("{}: {}", kernel.release, splat.title)),
        };
        if failed.borrow().is_ok() {
            *failed.borrow_mut() = taken;
        }
    });
    failed.into_inner()?;
    if heard.code() != Some(0) {
        bail!("{}: the guest exited early: {}", kernel.release, heard.describe());
    }
    Ok(())
}

/// In the guest: prints a line for each point.
fn inside(args: &Args) -> Result<bool> {
    // Nothing else raises it in a guest.
    let most = Rlimit { current: Some(1 << 16), maximum: Some(1 << 16) };
    setrlimit(Resource::Nofile, most).context("raise the limit of descriptors")?;
    let mut engines = vec![(Engine::Cairn, PathBuf::from(CAIRN))];
    if fs::exists("/dev/cairn")? {
        engines.push((Engine::CairnKmod, PathBuf::from(CAIRN)));
    }
    let plan = Plan {
        sweeps: &args.sweep,
        repeat: args.repeat,
        max_mib: args.max_mib.context("no --max-mib")?,
        engines,
        corpus: PathBuf::from(corpus_path(Userland::Dynamic)),
    };
    plan.carry_out(&mut |point| {
        println!("{}", serde_json::to_string(&point)?);
        Ok(())
    })?;
    Ok(true)
}

/// The points so far, printed as they arrive.
#[derive(Default)]
struct Table {
    points: Vec<Point>,
    kernel: String,
}

impl Table {
    fn begin(&mut self, kernel: &str) {
        self.kernel = kernel.to_owned();
        println!(
            "{:12} {:>6}  {:10} {:>10} {:>7} {:>14} {:>7} {:>10} {:>11} {:>7} {:>8}",
            "sweep",
            "value",
            "engine",
            "pause",
            "times",
            "checkpoint",
            "times",
            "bytes",
            "restart",
            "times",
            "GB/s"
        );
    }

    /// Each figure is followed by that of the first engine divided by it.
    fn add(&mut self, mut point: Point) {
        point.kernel.clone_from(&self.kernel);
        let same = |p: &&Point| (&p.kernel, p.sweep, p.value) == (&point.kernel, point.sweep, point.value);
        let first = self.points.iter().find(same);
        let times = |of: &dyn Fn(&Point) -> Option<f64>| match first.and_then(of).zip(of(&point)) {
            Some((first, own)) => format!("{:.2}", first / own),
            None => String::new(),
        };
        let pause = point.pause_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
        println!(
            "{:12} {:>6}  {:10} {pause:>10} {:>7} {:>11.1} ms {:>7} {:>7.1} MB {:>8.1} ms {:>7} {:>8.2}",
            point.sweep.name(),
            point.value,
            point.engine,
            times(&|p| p.pause_ms),
            point.checkpoint_ms,
            times(&|p| Some(p.checkpoint_ms)),
            point.bytes as f64 / 1e6,
            point.restart_ms,
            times(&|p| Some(p.restart_ms)),
            point.bytes as f64 / 1e6 / point.checkpoint_ms,
        );
        self.points.push(point);
    }
}
