//! The kernel module for kernels that are to be booted, and its tests (`kmod/test`) in a guest.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use cairn_qemu::accel::Accel;
use cairn_qemu::guest::Boot;
use cairn_qemu::job::{GuestJob, JobFile};
use cairn_qemu::kernels::{Kernel, Matrix};
use cairn_qemu::kmod::{self, Built, Sources, Target};
use cairn_qemu::{Arch, Cache, progress};
use cairn_testsuite::driver::StopFlag;
use cairn_testsuite::driver::guest::GuestPrograms;
use cairn_testsuite::report::ModuleReport;

use crate::cross::Toolchain;
use crate::places::{CPUS, MEMORY_MIB};
use crate::programs::{self, Wanted};
use crate::source::{KernelSource, options};
use crate::trial;
use crate::workspace::Workspace;

/// Paths of the module and of the test program in a guest.
const MODULE: &str = "/etc/cairn/cairn.ko";
const PROGRAM: &str = "/usr/bin/kmod-test";

/// Builds the module for a kernel to boot, or returns why there are no headers.
pub fn for_kernel(
    workspace: &Workspace,
    kernel: &Kernel,
    source: &KernelSource,
) -> Result<Result<Vec<u8>, String>> {
    let progress = progress::Stderr::default();
    let matrix = Matrix::load(&workspace.root.join("matrix.toml"))?;
    let cache = Cache::from_env()?;
    let sources = Sources::read(&workspace.root.join("kmod"))?;
    let options = options(kernel.arch, source, &cache, &progress);
    match kmod::obtain(&matrix, &Target::from(kernel), &sources, false, &options) {
        Ok(Built { module, .. }) => {
            let read = std::fs::read(&module);
            Ok(Ok(read.with_context(|| format!("read {}", module.display()))?))
        }
        Err(error) if error.is_absence() => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The parameters of the tests.
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
        write!(f, "random requests for {} s", self.seconds)
    }
}

impl Trial {
    /// Builds the test program.
    pub fn plan(
        workspace: &Workspace,
        archs: impl IntoIterator<Item = Arch>,
        source: &KernelSource,
        seconds: u64,
        seed: u64,
    ) -> Result<Trial> {
        let build = |arch| -> Result<(Arch, PathBuf)> {
            let toolchain = Toolchain::find(workspace, arch, source)?;
            let wanted = Wanted { offline: source.offline, ..Wanted::default() };
            Ok((arch, programs::build_kmod_test(workspace, &toolchain, wanted)?))
        };
        let programs = archs.into_iter().map(build).collect::<Result<_>>()?;
        Ok(Trial { programs, seconds, seed, check: String::new() })
    }

    /// With a filter for the names of the checks.
    pub fn only(self, check: &str) -> Trial {
        Trial { check: check.to_owned(), ..self }
    }

    /// Runs the tests in a guest; retries in another one if the emulator fails.
    pub fn run(
        &self,
        kernel: &Kernel,
        guest_programs: &GuestPrograms,
        module: &[u8],
        accel: &Accel,
        stop: &StopFlag,
        say: &mut dyn FnMut(&str),
    ) -> Result<ModuleReport> {
        let base = guest_programs
            .pack(kernel)?
            .program(&self.programs[&kernel.arch], PROGRAM)?
            .build(&Cache::from_env()?)?;
        let scale = accel.time_scale(kernel);
        let job = GuestJob {
            command: vec![
                PROGRAM.into(),
                MODULE.into(),
                self.seconds.to_string(),
                self.seed.to_string(),
                self.check.clone(),
            ],
            files: vec![JobFile { path: MODULE.into(), mode: 0o600, data: module.to_vec() }],
            ..GuestJob::default()
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
