//! Kernels as spots to run on: this host, and guests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_testsuite::driver::{HostPlace, Place};
use cairn_testsuite::event::Job;
use cairn_testsuite::report::KernelInfo;

use crate::campaign::{Plan, host_release};
use crate::programs::Programs;

/// One kernel to run on.
pub enum Spot {
    /// The kernel we run on, without a virtual machine.
    Host {
        /// `uname -r`.
        release: String,
    },
}

impl Spot {
    /// The host as a spot.
    pub fn host() -> Result<Spot> {
        Ok(Spot::Host { release: host_release()? })
    }

    /// What cells call it.
    pub fn label(&self) -> &str {
        match self {
            Spot::Host { .. } => "host",
        }
    }

    /// `uname -m`.
    pub fn arch(&self) -> &str {
        match self {
            Spot::Host { .. } => std::env::consts::ARCH,
        }
    }

    /// A few words for people.
    pub fn describe(&self) -> String {
        match self {
            Spot::Host { release } => format!("this host, {release}"),
        }
    }

    /// What a repro line needs beside the cell.
    pub fn repro_flag(&self) -> String {
        match self {
            Spot::Host { .. } => String::new(),
        }
    }

    /// For the results; release and engines are filled in by what the runner says.
    pub fn kernel_info(&self) -> KernelInfo {
        match self {
            Spot::Host { release } => KernelInfo {
                label: "host".to_owned(),
                arch: self.arch().to_owned(),
                release: release.clone(),
                package: String::new(),
                suite: None,
                sha256: None,
                accel: "host".to_owned(),
                engines: BTreeMap::new(),
                boots: 0,
                wall_ms: 0,
            },
        }
    }

    /// Where this spot has its programs, and how much time it needs.
    pub fn fill_in(&self, job: &mut Job, plan: &Plan, programs: &Programs) -> Result<()> {
        match self {
            Spot::Host { .. } => {
                // Below the system's directory for temporary files, because the corpus cares for what file system it is on.
                let dir = tempfile::Builder::new().prefix("cairn-").tempdir().context("make a directory")?;
                job.workdir = dir.keep();
                job.workloads = programs.workloads.clone();
                job.engines = plan.engines.clone();
            }
        }
        Ok(())
    }

    /// The place to run in. `dir` is the run's directory.
    pub fn place(&self, _plan: &Plan, programs: &Programs, dir: &Path) -> Result<Box<dyn Place>> {
        let dir: PathBuf = dir.join("kernels").join(self.label());
        match self {
            Spot::Host { .. } => Ok(Box::new(HostPlace { runner: programs.runner.clone(), dir })),
        }
    }
}
