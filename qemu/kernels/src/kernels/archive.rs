//! A package archive: from an address and a keyring to the verified list of the packages of a suite
//! that are needed: kernels, and a few others ([`super::extra`]).
//!
//! The chain of trust: the keyring verifies `InRelease` (`gpgv`), which contains the digest of
//! `Packages.xz`, which contains the digest of each package. Dates are not checked: an old snapshot
//! of an archive is a legitimate source of kernels to test, so `Valid-Until` is not enforced.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::apt_sources::Mirror;
use super::fetch::{self, Request};
use super::index::{self, Package};
use crate::arch::Arch;
use crate::cache::{self, Cache};
use crate::progress::Progress;

/// Why the packages of a suite are not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A download failed.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// An error of the cache.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The signature is missing, invalid, or made by an unknown key.
    #[error("suite {suite}: the signature of InRelease does not verify with {keyrings:?}: {why}")]
    Signature {
        /// The suite.
        suite: String,
        /// The accepted keyrings.
        keyrings: Vec<PathBuf>,
        /// The message of `gpgv`.
        why: String,
    },
    /// `gpgv` or the keyring is missing, or could not be run.
    #[error("verify the archive: {0}")]
    Verifier(String),
    /// The release file is correctly signed but not usable.
    #[error("suite {suite}: {source}")]
    Malformed {
        /// The suite.
        suite: String,
        /// The problem.
        source: index::Malformed,
    },
    /// The index does not decompress.
    #[error("suite {suite}: decompress the package index")]
    Decompress {
        /// The suite.
        suite: String,
        /// The error of the decoder.
        source: std::io::Error,
    },
    /// Offline, and the suite is not in the cache.
    #[error("suite {suite} is not in the cache (run once without --offline)")]
    NotCached {
        /// The suite.
        suite: String,
    },
}

impl Error {
    /// Whether the archive works but does not have the suite (or it is not cached), as opposed to
    /// being unreachable.
    pub fn is_absence(&self) -> bool {
        matches!(self, Error::Fetch(fetch::Error::NotFound { .. }) | Error::NotCached { .. })
    }
}

/// Version of the cached format.
const FORMAT: &str = "v7";

/// The cached data of a verified suite.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Verified {
    /// SHA-256 of the package index it was read from.
    packages_sha256: String,
    /// Date of the release file, as the archive states it.
    date: String,
    packages: Vec<Package>,
}

/// One archive; each suite is read at most once in its lifetime.
pub struct Archive<'a> {
    mirror: Mirror,
    keyrings: Vec<PathBuf>,
    arch: Arch,
    offline: bool,
    cache: &'a Cache,
    progress: &'a dyn Progress,
    suites: Mutex<HashMap<String, Vec<Package>>>,
}

impl<'a> Archive<'a> {
    /// An archive that is read lazily.
    pub fn new(
        mirror: Mirror,
        keyrings: Vec<PathBuf>,
        arch: Arch,
        offline: bool,
        cache: &'a Cache,
        progress: &'a dyn Progress,
    ) -> Archive<'a> {
        Archive { mirror, keyrings, arch, offline, cache, progress, suites: Mutex::default() }
    }

    /// The archive's address, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.mirror.base
    }

    /// The keyring files used to verify its release files.
    pub(crate) fn keyrings(&self) -> &[PathBuf] {
        &self.keyrings
    }

    /// The needed packages of a suite, verified.
    ///
    /// # Errors
    /// When the index cannot be fetched or verified; offline, when it is not cached.
    pub fn packages(&self, suite: &str) -> Result<Vec<Package>, Error> {
        let mut suites = self.suites.lock().expect("no panic while holding the lock");
        if let Some(packages) = suites.get(suite) {
            return Ok(packages.clone());
        }
        let packages = self.read(suite)?.packages;
        suites.insert(suite.to_owned(), packages.clone());
        Ok(packages)
    }

    fn read(&self, suite: &str) -> Result<Verified, Error> {
        let key = &fetch::sha256_hex(self.mirror.base.as_bytes())[..12];
        let dir = self.cache.dir(&format!("archive/{key}/{suite}"))?;
        let _lock = self.cache.lock(&format!("archive-{key}-{suite}"))?;
        let kept_at = dir.join(format!("packages-{}-{FORMAT}.json", self.arch.debian()));
        let kept: Option<Verified> =
            fs::read(&kept_at).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if self.offline {
            return kept.ok_or_else(|| Error::NotCached { suite: suite.to_owned() });
        }

        let signed = dir.join("InRelease");
        let url = format!("{}/dists/{suite}/InRelease", self.mirror.base);
        let what = format!("{suite} release file");
        fetch::download(&Request { url: &url, what: &what, promised: None }, &signed, self.progress)?;
        let release = self.verify(suite, &signed)?;
        let malformed = |source| Error::Malformed { suite: suite.to_owned(), source };
        let promise = index::promise(&release, suite, self.arch.debian()).map_err(malformed)?;
        if let Some(kept) = kept.filter(|kept| kept.packages_sha256 == promise.sha256) {
            return Ok(kept);
        }

        let compressed = dir.join("Packages.xz");
        let path = if promise.by_hash {
            let parent = promise.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            format!("dists/{suite}/{parent}/by-hash/SHA256/{}", promise.sha256)
        } else {
            format!("dists/{suite}/{}", promise.path)
        };
        let (url, what) = (format!("{}/{path}", self.mirror.base), format!("{suite} package index"));
        let promised = Some((promise.size, promise.sha256.as_str()));
        fetch::download(&Request { url: &url, what: &what, promised }, &compressed, self.progress)?;
        let packages = read_index(&compressed)
            .map_err(|source| Error::Decompress { suite: suite.to_owned(), source })?;
        let date = super::control::stanzas(&release).next().and_then(|s| s.get("Date")).unwrap_or_default();
        let verified = Verified {
            packages_sha256: promise.sha256,
            date: date.to_owned(),
            packages: index::packages(&packages),
        };
        let json = serde_json::to_vec_pretty(&verified).expect("plain data serialises");
        cache::write_atomically(&kept_at, &json)?;
        // The index itself is no longer needed.
        fs::remove_file(&compressed).map_err(|source| fetch::Error::Io {
            action: "remove",
            path: compressed.clone(),
            source,
        })?;
        Ok(verified)
    }

    /// The text of a clear-signed file, if it was signed by one of the keyring's keys.
    fn verify(&self, suite: &str, signed: &Path) -> Result<String, Error> {
        verify(&self.keyrings, signed).map_err(|e| match e {
            Verify::Refused(why) => {
                Error::Signature { suite: suite.to_owned(), keyrings: self.keyrings.clone(), why }
            }
            Verify::NotRun(why) => Error::Verifier(why),
        })
    }
}

/// Why a signature was not accepted.
#[derive(Debug)]
pub(crate) enum Verify {
    Refused(String),
    NotRun(String),
}

/// Runs `gpgv` and returns exactly the bytes that the signature covers.
pub(crate) fn verify(keyrings: &[PathBuf], signed: &Path) -> Result<String, Verify> {
    let mut command = Command::new("gpgv");
    for keyring in keyrings {
        if !keyring.is_file() {
            return Err(Verify::NotRun(format!("no keyring at {}", keyring.display())));
        }
        // A name without a slash would be looked up in the user's own GnuPG directory.
        command.arg("--keyring").arg(keyring.canonicalize().unwrap_or_else(|_| keyring.clone()));
    }
    let output = command
        .env("LC_ALL", "C")
        .args(["--output", "-"])
        .arg(signed)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Verify::NotRun(format!("run gpgv: {e}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
        return Err(Verify::Refused(why.trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|_| Verify::Refused("the signed text is not UTF-8".into()))
}

fn read_index(compressed: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    liblzma::read::XzDecoder::new(fs::File::open(compressed)?).read_to_string(&mut text)?;
    Ok(text)
}
