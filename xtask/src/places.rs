//! Spots to run on: a kernel, on this host or in guests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_qemu::Arch;
use cairn_qemu::accel::Accel;
use cairn_qemu::kernels::{Kernel, selector};
use cairn_testsuite::driver::guest::{self, GuestPlace, GuestPrograms};
use cairn_testsuite::driver::{HostPlace, Place};
use cairn_testsuite::event::Job;
use cairn_testsuite::report::{EngineInfo, KernelInfo};

use crate::cross;
use crate::programs::Programs;

/// Memory of a guest, in MiB.
pub const MEMORY_MIB: u32 = 2048;
/// Processors of a guest.
pub const CPUS: u32 = 2;

/// One kernel to run on.
pub enum Spot {
    /// The kernel we run on, without a virtual machine.
    Host {
        /// `uname -r`.
        release: String,
        /// This machine's architecture.
        arch: Arch,
    },
    /// A kernel in a virtual machine.
    Guest(Box<Guest>),
}

/// A kernel with everything that its guests need.
pub struct Guest {
    /// Its label in cells.
    pub label: String,
    /// The kernel.
    pub kernel: Kernel,
    /// The base file system.
    pub base: PathBuf,
    /// Hardware or emulation.
    pub accel: Accel,
    /// The version that QEMU reports.
    pub qemu: String,
    /// Factor on every time limit, for this acceleration.
    pub time_scale: f64,
    /// The programs to pack into it.
    pub guest_programs: GuestPrograms,
    /// The kernel module to load there, if any.
    pub module: Option<Vec<u8>>,
    /// Requested engines that cannot run there, with the reason.
    pub absent: BTreeMap<String, String>,
}

impl Spot {
    /// The host as a spot.
    pub fn host() -> Result<Spot> {
        Ok(Spot::Host { release: host_release()?, arch: cross::host()? })
    }

    /// Its label in cells.
    pub fn label(&self) -> &str {
        match self {
            Spot::Host { .. } => "host",
            Spot::Guest(guest) => &guest.label,
        }
    }

    /// The architecture.
    pub fn arch(&self) -> Arch {
        match self {
            Spot::Host { arch, .. } => *arch,
            Spot::Guest(guest) => guest.kernel.arch,
        }
    }

    /// Both: `6.12/aarch64`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.label(), self.arch())
    }

    /// Whether this engine can run here.
    pub fn has(&self, engine: &str) -> bool {
        match self {
            Spot::Host { .. } => true,
            Spot::Guest(guest) => !guest.absent.contains_key(engine),
        }
    }

    /// A short description for users.
    pub fn describe(&self) -> String {
        match self {
            Spot::Host { release, .. } => format!("this host, {release}"),
            Spot::Guest(guest) => {
                let Kernel { release, package, version, .. } = &guest.kernel;
                format!("{release} ({package} {version}) under {}", guest.accel.name())
            }
        }
    }

    /// The command-line selector of exactly this kernel, where its label is not enough: a user's
    /// file, the point release of a series.
    pub fn exactly(&self) -> Option<String> {
        let Spot::Guest(guest) = self else { return None };
        let kernel = &guest.kernel;
        match (&kernel.path, &kernel.suite) {
            (Some(path), None) => Some(path.display().to_string()),
            // The debugging kernel is what its label says.
            (Some(_), Some(_)) => None,
            (None, _) => Some(selector::label(kernel.point(), &kernel.variant)),
        }
    }

    /// For the results, with those of `engines` that can run here; their versions are filled in
    /// from the runner's report.
    pub fn kernel_info(&self, engines: &BTreeMap<String, EngineInfo>) -> KernelInfo {
        let mut engines = engines.clone();
        engines.retain(|name, _| self.has(name));
        let mut info = KernelInfo {
            label: self.label().to_owned(),
            arch: self.arch().to_string(),
            release: String::new(),
            package: String::new(),
            suite: None,
            sha256: None,
            accel: "host".to_owned(),
            no_kvm: None,
            qemu: None,
            time_scale: 1.0,
            engines,
            absent: BTreeMap::new(),
            module: None,
            complaints: Vec::new(),
            boots: 0,
            wall_ms: 0,
        };
        match self {
            Spot::Host { release, .. } => info.release.clone_from(release),
            Spot::Guest(guest) => {
                let kernel = &guest.kernel;
                info.release.clone_from(&kernel.release);
                info.package = format!("{} {}", kernel.package, kernel.version);
                info.suite.clone_from(&kernel.suite);
                info.sha256 = Some(kernel.sha256.clone());
                info.accel = guest.accel.name().to_lowercase();
                if let Accel::Tcg { why } = &guest.accel {
                    info.no_kvm = Some(why.clone());
                }
                info.qemu = Some(guest.qemu.clone());
                info.time_scale = guest.time_scale;
                info.absent.clone_from(&guest.absent);
            }
        }
        info
    }

    /// Where this spot has its programs, and how much time it needs. `engines`: by name.
    pub fn fill_in(
        &self,
        job: &mut Job,
        engines: &BTreeMap<String, PathBuf>,
        programs: &Programs,
    ) -> Result<()> {
        match self {
            Spot::Host { .. } => {
                // In the system's directory for temporary files: the corpus depends on the kind of
                // file system.
                let dir = tempfile::Builder::new().prefix("cairn-").tempdir().context("make a directory")?;
                job.workdir = dir.keep();
                job.workloads = programs.workloads.clone();
                job.engines = programs.engines(engines)?;
            }
            Spot::Guest(guest) => {
                job.time_scale *= guest.time_scale;
                guest::fill_in(job, &guest.guest_programs, &guest.accel);
            }
        }
        Ok(())
    }

    /// The place to run in. `dir` is the run's directory.
    pub fn place(&self, programs: &Programs, dir: &Path) -> Box<dyn Place> {
        let dir = dir.join("kernels").join(self.arch().name()).join(self.label());
        match self {
            Spot::Host { .. } => Box::new(HostPlace { runner: programs.runner.clone(), dir }),
            Spot::Guest(guest) => Box::new(GuestPlace {
                kernel: guest.kernel.clone(),
                base: guest.base.clone(),
                accel: guest.accel.clone(),
                dir,
                cpus: CPUS,
                memory_mib: MEMORY_MIB,
                module: guest.module.clone(),
                lives: 0,
            }),
        }
    }
}

/// `uname -r` of this host.
pub fn host_release() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").context("read the host's kernel release")?;
    Ok(text.trim().to_owned())
}
