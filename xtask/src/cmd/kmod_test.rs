//! `cargo xtask kmod-test`: runs the tests of the kernel module (`kmod/test`) in guests.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cairn_qemu::accel::{self, Accel};
use cairn_qemu::guest::Boot;
use cairn_qemu::job::{Job, JobFile};
use cairn_qemu::kernels::{Kernel, Selector};
use cairn_qemu::{Arch, Cache, progress};
use cairn_testsuite::driver::StopFlag;
use cairn_testsuite::driver::guest::Luggage;
use cairn_testsuite::report::ModuleReport;
use clap::Parser;

use crate::cross::Toolchain;
use crate::kernels::{self, KernelArgs, Source};
use crate::places::{CPUS, MEMORY_MIB};
use crate::programs::{self, Wanted};
use crate::room::Room;
use crate::trial;

/// Paths of the module and of the test program in a guest.
const MODULE: &str = "/etc/cairn/cairn.ko";
const PROGRAM: &str = "/usr/bin/kmod-test";

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
    let room = Room::find()?;
    if args.kernels.kernel.contains(&Selector::Host) {
        bail!("the module is tested in guests only");
    }
    let source = &args.kernels.source;
    let mut choice = kernels::choose(&room, &args.kernels)?;
    let archs = choice.archs()?;
    let wanted = Wanted { no_engine: true, ..Wanted::default() };
    let programs = programs::build_all(&room, &archs, source, Wanted { offline: source.offline, ..wanted })?;
    let plan = Trial::plan(&room, archs, source, args.seconds, args.seed)?.only(&args.check);
    let cache = Cache::from_env()?;
    let stop = StopFlag::default();
    let mut good = true;
    let mut rows = Vec::new();
    for kernel in choice.obtain(source)? {
        let name = format!("{}/{}", kernel.label(), kernel.arch);
        let module = match super::kmod::for_kernel(&room, &kernel, source)? {
            Ok(module) => module,
            Err(absence) => {
                rows.push(format!("{name}: skipped: {absence}"));
                continue;
            }
        };
        let built = &programs[&kernel.arch];
        let accel = accel::probe(&kernel, &built.init, &cache, &progress::Stderr::default())?;
        eprintln!("{name}: {}", kernel.release);
        let report = plan
            .run(&kernel, &built.luggage([].into()), &module, &accel, &stop, &mut |line| {
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

/// What the tests are run with.
pub struct Trial {
    /// The test program, for each architecture.
    programs: BTreeMap<Arch, PathBuf>,
    seconds: u64,
    seed: u64,
    /// Filter for the names of the checks.
    check: String,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "requests at random for {} s", self.seconds)
    }
}

impl Trial {
    /// Builds the test program.
    pub fn plan(
        room: &Room,
        archs: impl IntoIterator<Item = Arch>,
        source: &Source,
        seconds: u64,
        seed: u64,
    ) -> Result<Trial> {
        let build = |arch| -> Result<(Arch, PathBuf)> {
            let toolchain = Toolchain::find(room, arch, source)?;
            let wanted = Wanted { offline: source.offline, ..Wanted::default() };
            Ok((arch, programs::build_kmod_test(room, &toolchain, wanted)?))
        };
        let programs = archs.into_iter().map(build).collect::<Result<_>>()?;
        Ok(Trial { programs, seconds, seed, check: String::new() })
    }

    /// With a filter for the names of the checks.
    pub fn only(self, check: &str) -> Trial {
        Trial { check: check.to_owned(), ..self }
    }

    /// Runs the tests in a guest; in another one if the emulator fails.
    pub fn run(
        &self,
        kernel: &Kernel,
        luggage: &Luggage,
        module: &[u8],
        accel: &Accel,
        stop: &StopFlag,
        say: &mut dyn FnMut(&str),
    ) -> Result<ModuleReport> {
        let base = luggage
            .pack(kernel)?
            .program(&self.programs[&kernel.arch], PROGRAM)?
            .build(&Cache::from_env()?)?;
        let scale = accel.time_scale(kernel);
        let job = Job {
            command: vec![
                PROGRAM.into(),
                MODULE.into(),
                self.seconds.to_string(),
                self.seed.to_string(),
                self.check.clone(),
            ],
            files: vec![JobFile { path: MODULE.into(), mode: 0o600, data: module.to_vec() }],
            ..Job::default()
        };
        let dir =
            tempfile::Builder::new().prefix("cairn-kmod-test-").tempdir().context("make a directory")?;
        let mut boot = Boot::new(kernel, &base, &job, dir.path(), accel.clone());
        (boot.cpus, boot.memory_mib) = (CPUS, MEMORY_MIB);
        boot.idle_timeout = Duration::from_secs(60 + self.seconds);
        boot.total_timeout = Duration::from_secs(300 + 2 * self.seconds);
        let boot = boot.scaled(scale);
        trial::again_if_emulator_fails(say, |say| trial::listen(&boot, stop, say))
    }
}
