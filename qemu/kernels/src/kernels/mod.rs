//! Kernels: from the user's selection to an image, its modules and its configuration in the cache.
//!
//! [`locate`] resolves each [`Selector`] to candidates and fetches only indexes; [`obtain_all`]
//! fetches and verifies kernels; [`resolve`] does both.

pub mod apt_sources;
pub mod archive;
mod candidate;
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
mod names;
mod obtain;
pub mod package;
pub mod selector;
mod unpack;
pub mod version;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use candidate::{Candidate, Origin};
pub use config::KernelConfig;
pub(crate) use locate::{DEBIAN_KEYRINGS, open_archive};
pub use locate::{Located, Unavailable, locate};
pub use matrix::Matrix;
pub use obtain::obtain_all;
pub use selector::Selector;
pub(crate) use unpack::fetch_package;
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
    /// The variant within its series ([`Candidate::variant`]).
    #[serde(default)]
    pub variant: String,
    /// `uname -r`.
    pub release: String,
    /// Name of the package, or the path of the kernel.
    pub package: String,
    /// The package's version; the release for an image without a package.
    pub version: String,
    /// The suite of the archive; absent if it came from elsewhere.
    pub suite: Option<String>,
    /// SHA-256 of the package, or of the image for one without a package.
    pub sha256: String,
    /// The path given by the user; absent for a kernel of an archive.
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// Path of the image that QEMU loads.
    pub image: PathBuf,
    /// The contents of `/lib/modules/RELEASE`, or a build tree; absent for a bare image without
    /// modules.
    pub modules: Option<PathBuf>,
    /// Its build configuration; empty if unknown.
    pub config: KernelConfig,
}

impl Kernel {
    /// The series of the kernel.
    pub fn series(&self) -> Series {
        self.point.series
    }

    /// Its label: the series, with its variant.
    pub fn label(&self) -> String {
        selector::label(self.series(), &self.variant)
    }

    /// Its point release.
    pub fn point(&self) -> Version {
        self.point
    }
}

/// Where and how kernels are obtained.
#[derive(Clone)]
pub struct Options<'a> {
    /// The guests' architecture.
    pub arch: Arch,
    /// Base address of the archive; if absent, `CAIRN_MIRROR`, else the machine's apt sources.
    pub mirror: Option<String>,
    /// Keyring to verify the archive with; if absent, `CAIRN_KEYRING`, else the keys of the apt
    /// source and Debian's.
    pub keyring: Option<PathBuf>,
    /// Use only cached files.
    pub offline: bool,
    /// The cache for all files.
    pub cache: &'a Cache,
    /// Receives progress messages.
    pub progress: &'a dyn Progress,
}

/// Why a kernel cannot be obtained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The selector `host`, which the caller must handle.
    #[error("the host's own kernel needs no guest; it is not resolved here")]
    Host,
    /// No archive is configured.
    #[error("no Debian archive among the machine's apt sources: name one with --mirror or CAIRN_MIRROR")]
    NoArchive,
    /// No kernel matches.
    #[error("no kernel {selector} for {arch}: {reason}\n{offer}")]
    Unknown {
        /// The selector.
        selector: String,
        /// The requested architecture.
        arch: Arch,
        /// The reason.
        reason: String,
        /// The available kernels, one per line.
        offer: String,
    },
    /// An error of the archive.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A download failed.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// An error of the cache.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A package could not be unpacked.
    #[error(transparent)]
    Package(#[from] package::Error),
    /// A path given by the user is not a kernel.
    #[error("{}: {what}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The problem.
        what: String,
    },
    /// No suite has a package that is needed besides kernels.
    #[error("no package {wanted} to be had: {reason}")]
    NoPackage {
        /// The requested package.
        wanted: String,
        /// What each suite has instead.
        reason: String,
    },
    /// Offline, and the package is not in the cache.
    #[error("{package} is not in the cache (run once without --offline)")]
    NotCached {
        /// The package.
        package: String,
    },
}

impl Error {
    /// Whether the archive does not have a file that its index lists.
    pub fn is_absence(&self) -> bool {
        match self {
            Error::Archive(e) => e.is_absence(),
            Error::Fetch(e) => matches!(e, fetch::Error::NotFound { .. }),
            _ => false,
        }
    }
}

/// Kernels ready to boot, and the requested series that are not available.
#[derive(Debug)]
pub struct Resolution {
    /// Sorted by version, oldest first, without duplicates.
    pub kernels: Vec<Kernel>,
    /// Series of the matrix that a wide selector (`6.x`, `all`) covers and no suite serves.
    pub unavailable: Vec<Unavailable>,
}

/// Finds and fetches every kernel that the selectors name.
///
/// # Errors
/// When a selector matches no available kernel (the error lists what is available), or a fetch
/// fails.
pub fn resolve(matrix: &Matrix, selectors: &[Selector], options: &Options<'_>) -> Result<Resolution, Error> {
    obtain_all(matrix, &locate(matrix, selectors, options)?, options)
}
