//! Kernels that were found: where each comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Kernel;
use super::index::Build;
use super::selector;
use super::version::{Series, Version};

/// A kernel that was found but not necessarily fetched.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// Its point release.
    pub point: Version,
    /// The variant within its series; empty for the plain kernel, and for one given by the user.
    pub variant: String,
    /// `uname -r`.
    pub release: String,
    /// Its source.
    pub origin: Origin,
    /// Whether nothing needs to be fetched.
    pub cached: bool,
    /// How it was selected.
    #[serde(skip)]
    pub asked: Asked,
}

/// How specific the selector is, which determines what may replace the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One of many: it may be missing.
    Widely,
    /// By series: any release of it may replace it.
    BySeries,
    /// By point release or path: nothing may replace it.
    Exactly,
}

/// The source of a candidate.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// An archive.
    Archive {
        /// The suite.
        suite: String,
        /// The packages.
        build: Build,
        /// The archive's address.
        #[serde(skip)]
        base: String,
    },
    /// The cache; fetched when an archive still served it.
    Kept(Box<Kernel>),
    /// A path on this machine, given by the user.
    Local(Local),
}

impl Candidate {
    /// The series of the kernel.
    pub fn series(&self) -> Series {
        self.point.series
    }

    /// Its label: the series, with its variant.
    pub fn label(&self) -> String {
        selector::label(self.series(), &self.variant)
    }

    /// Its path, if it was given by the user.
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Archive { .. } | Origin::Kept(_) => None,
            Origin::Local(local) => Some(local.path()),
        }
    }

    /// Bytes to fetch; 0 when cached or local.
    pub fn bytes_to_fetch(&self) -> u64 {
        match &self.origin {
            Origin::Archive { build, .. } if !self.cached => build.size(),
            _ => 0,
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Archive { suite, build, .. } => {
                let package = build.image();
                write!(f, "{} {} ({} {})", self.point, suite, package.name, package.version)
            }
            Origin::Kept(kernel) => {
                write!(f, "{} from the cache ({} {})", self.point, kernel.package, kernel.version)
            }
            Origin::Local(local) => write!(f, "{} {}", self.point, local.path().display()),
        }
    }
}

/// The kind of kernel found at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Local {
    /// A kernel image (`vmlinuz`, `bzImage`).
    Image(PathBuf),
    /// A `linux-image` package.
    Package(PathBuf),
    /// A kernel build tree.
    BuildTree(PathBuf),
}

impl Local {
    /// The absolute path.
    pub fn path(&self) -> &Path {
        match self {
            Local::Image(path) | Local::Package(path) | Local::BuildTree(path) => path,
        }
    }
}
