//! Kernels: from what the user asks for to an image, its modules and its configuration in the
//! cache.
//!
//! [`locate`] finds out what a [`Selector`] means today and fetches only indexes; [`obtain_all`]
//! fetches kernels, verified; [`resolve`] does both.

pub mod apt_sources;
pub mod archive;
mod config;
pub(crate) mod control;
pub mod debug;
pub mod extra;
pub mod fetch;
pub mod image;
pub mod index;
mod local;
mod locate;
pub mod matrix;
mod obtain;
pub mod package;
pub mod selector;
pub mod version;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use config::KernelConfig;
pub use locate::{Candidate, Located, Origin, Unavailable, locate};
pub(crate) use locate::{DEBIAN_KEYRINGS, open_archive};
pub use matrix::Matrix;
pub(crate) use obtain::fetch_package;
pub use obtain::obtain_all;
pub use selector::Selector;
pub use version::{Series, Version};

use crate::arch::Arch;
use crate::cache::{self, Cache};
use crate::progress::Progress;

/// A kernel that is ready to boot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kernel {
    /// The architecture it runs on.
    pub arch: Arch,
    /// Its point release.
    pub point: Version,
    /// Which of several kernels of its series ([`Candidate::variant`]).
    #[serde(default)]
    pub variant: String,
    /// `uname -r`.
    pub release: String,
    /// The package, or the path it came from.
    pub package: String,
    /// The package's version; the release for an image without a package.
    pub version: String,
    /// The suite it was found in, when it came from an archive.
    pub suite: Option<String>,
    /// SHA-256 of the package, or of the image for one without a package.
    pub sha256: String,
    /// The file or tree it came from, when the user brought it.
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// The image that QEMU loads.
    pub image: PathBuf,
    /// What `/lib/modules/RELEASE` holds, or a build tree; none for a bare image without modules at
    /// hand.
    pub modules: Option<PathBuf>,
    /// Its build configuration; empty when not known.
    pub config: KernelConfig,
}

impl Kernel {
    /// The series it belongs to.
    pub fn series(&self) -> Series {
        self.point.series
    }

    /// What it is called: its series, with its variant.
    pub fn label(&self) -> String {
        selector::label(self.series(), &self.variant)
    }

    /// Its point release.
    pub fn point(&self) -> Version {
        self.point
    }
}

/// What is asked for, where, and how.
#[derive(Clone)]
pub struct Options<'a> {
    /// The guests' architecture.
    pub arch: Arch,
    /// The archive's base address; without it `CAIRN_MIRROR`, else the machine's apt sources.
    pub mirror: Option<String>,
    /// The keys to verify the archive with; without it `CAIRN_KEYRING`, else those of the apt
    /// source and Debian's.
    pub keyring: Option<PathBuf>,
    /// Use only what is cached.
    pub offline: bool,
    /// Where everything is kept.
    pub cache: &'a Cache,
    /// Who is told about progress.
    pub progress: &'a dyn Progress,
}

/// Why a kernel is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `host` reached this crate.
    #[error("the host's own kernel needs no guest; it is not resolved here")]
    Host,
    /// No archive is known.
    #[error("no Debian archive among the machine's apt sources: name one with --mirror or CAIRN_MIRROR")]
    NoArchive,
    /// Nothing matches.
    #[error("no kernel {selector} for {arch}: {reason}\n{offer}")]
    Unknown {
        /// What was asked for.
        selector: String,
        /// For which architecture.
        arch: Arch,
        /// Why not.
        reason: String,
        /// What there is instead, in lines.
        offer: String,
    },
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A transfer failed.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A package could not be taken apart.
    #[error(transparent)]
    Package(#[from] package::Error),
    /// A path the user gave is no kernel.
    #[error("{}: {what}", path.display())]
    Path {
        /// Which path.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No suite serves a package that is needed beside kernels.
    #[error("no package {wanted} to be had: {reason}")]
    NoPackage {
        /// Which.
        wanted: String,
        /// What each suite has instead.
        reason: String,
    },
    /// Offline, and the package was never fetched.
    #[error("{package} is not in the cache (run once without --offline)")]
    NotCached {
        /// Which package.
        package: String,
    },
}

impl Error {
    /// Whether the archive answered that it has not what its index promised.
    pub fn is_absence(&self) -> bool {
        match self {
            Error::Archive(e) => e.is_absence(),
            Error::Fetch(e) => matches!(e, fetch::Error::NotFound { .. }),
            _ => false,
        }
    }
}

/// Kernels ready to boot, and the series that were asked for and are not to be had.
#[derive(Debug)]
pub struct Resolution {
    /// Oldest first, none twice.
    pub kernels: Vec<Kernel>,
    /// Series of the matrix that a wide selector (`6.x`, `all`) covers and nobody serves.
    pub unavailable: Vec<Unavailable>,
}

/// Finds and fetches every kernel that the selectors name.
///
/// # Errors
/// When a selector names nothing that is to be had (the error lists what is), or a fetch fails.
pub fn resolve(matrix: &Matrix, selectors: &[Selector], options: &Options<'_>) -> Result<Resolution, Error> {
    obtain_all(matrix, &locate(matrix, selectors, options)?, options)
}
