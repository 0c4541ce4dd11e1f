//! `cargo xtask kmod-test`: runs the tests of the kernel module (`kmod/test`) in guests.

use anyhow::{Context, Result, bail};
use cairn_qemu::kernels::Selector;
use cairn_qemu::{Cache, probe, progress};
use cairn_testsuite::driver::StopFlag;
use clap::Parser;

use crate::kernels::{self, KernelArgs};
use crate::module::{self, Trial};
use crate::programs::{self, Wanted};
use crate::trial;
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    kernels: KernelArgs,
    /// How long to send random requests, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run only the checks whose name contains this, or one of several parts separated by |
    #[arg(long, default_value = "")]
    check: String,
}

pub fn run(args: &Args) -> Result<bool> {
    let workspace = Workspace::find()?;
    if args.kernels.kernel.contains(&Selector::Host) {
        bail!("the module is tested in guests only");
    }
    let source = &args.kernels.source;
    let mut choice = kernels::choose(&workspace, &args.kernels)?;
    let archs = choice.archs()?;
    let wanted = Wanted { no_engine: true, ..Wanted::default() };
    let programs =
        programs::build_all(&workspace, &archs, source, Wanted { offline: source.offline, ..wanted })?;
    let plan = Trial::plan(&workspace, archs, source, args.seconds, args.seed)?.only(&args.check);
    let cache = Cache::from_env()?;
    let stop = StopFlag::default();
    let mut good = true;
    let mut rows = Vec::new();
    for kernel in choice.obtain(source)? {
        let name = format!("{}/{}", kernel.label(), kernel.arch);
        let module = match module::for_kernel(&workspace, &kernel, source)? {
            Ok(module) => module,
            Err(absence) => {
                rows.push(format!("{name}: skipped: {absence}"));
                continue;
            }
        };
        let built = &programs[&kernel.arch];
        let accel = probe::probe(&kernel, &built.init, &cache, &progress::Stderr::default())?;
        eprintln!("{name}: {}", kernel.release);
        let report = plan
            .run(&kernel, &built.guest_programs([].into()), &module, &accel, &stop, &mut |line| {
                eprintln!("  {line}")
            })
            .with_context(|| name.clone())?;
        good &= report.failures().next().is_none();
        rows.extend(trial::rows(&name, &report));
    }
    println!();
    rows.iter().for_each(|row| println!("{row}"));
    Ok(good)
}
