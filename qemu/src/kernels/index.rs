//! A suite's index: what a verified `InRelease` promises, and the kernel packages in `Packages`. Pure.

use serde::{Deserialize, Serialize};

use super::control;
use super::version::{Series, Version};

/// One `linux-image` package of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// `uname -r` of the kernel inside, from the name.
    pub release: String,
    /// The package's version.
    pub version: String,
    /// Path below the archive's base.
    pub filename: String,
    /// Bytes.
    pub size: u64,
    /// Digest in hexadecimal.
    pub sha256: String,
}

impl Package {
    /// The kernel's point release. The package's version knows it; the name of a stable release's kernel does not
    /// (`5.10.0-32-amd64` is 5.10.223).
    pub fn point(&self) -> Option<Version> {
        Version::prefix_of(&self.version)
    }

    /// The kernel's series.
    pub fn series(&self) -> Option<Series> {
        self.point().map(|version| version.series)
    }

    /// Whether this is the image without the distribution's signatures, which exists beside the signed one.
    pub fn is_unsigned(&self) -> bool {
        self.name.ends_with("-unsigned")
    }
}

/// The index file of a suite that an `InRelease` vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Path below `dists/SUITE/`.
    pub path: String,
    /// Digest in hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Whether the file can also be had under its digest, which cannot change between two requests.
    pub by_hash: bool,
}

/// What is wrong with an index.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// The release file is another suite's.
    #[error("the release file is of suite {found:?}")]
    OtherSuite {
        /// Whose it is.
        found: String,
    },
    /// It names no package index for the architecture.
    #[error("the release file names no {0}")]
    NoIndex(String),
}

/// Finds the compressed package index of `main` for a Debian architecture in the verified text of an `InRelease`.
///
/// # Errors
/// When the file is another suite's (by `Suite` and `Codename`), or names no such index.
pub fn promise(release: &str, suite: &str, debian_arch: &str) -> Result<Promise, Malformed> {
    let stanza = control::stanzas(release).next().ok_or_else(|| Malformed::NoIndex("fields".into()))?;
    let names = [stanza.get("Suite").unwrap_or_default(), stanza.get("Codename").unwrap_or_default()];
    if !names.contains(&suite) {
        return Err(Malformed::OtherSuite { found: names.join("/") });
    }
    let path = format!("main/binary-{debian_arch}/Packages.xz");
    let by_hash = stanza.get("Acquire-By-Hash") == Some("yes");
    stanza
        .lines("SHA256")
        .find_map(|line| {
            let mut words = line.split_whitespace();
            let (sha256, size, name) = (words.next()?, words.next()?, words.next()?);
            let good = name == path && sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
            let size = size.parse().ok()?;
            good.then(|| Promise { path: path.clone(), sha256: sha256.to_ascii_lowercase(), size, by_hash })
        })
        .ok_or(Malformed::NoIndex(path))
}

/// The kernel packages in the text of a `Packages` file: images with modules, of every flavour, signed or not.
pub fn kernel_packages(packages: &str) -> Vec<Package> {
    control::stanzas(packages)
        .filter_map(|stanza| {
            let name = stanza.get("Package")?;
            let release = name.strip_prefix("linux-image-")?;
            let release = release.strip_suffix("-unsigned").unwrap_or(release);
            // Debug symbols and the metapackages that depend on the newest image are no kernels.
            if !release.starts_with(|c: char| c.is_ascii_digit()) || release.ends_with("-dbg") {
                return None;
            }
            let package = Package {
                name: name.to_owned(),
                release: release.to_owned(),
                version: stanza.get("Version")?.to_owned(),
                filename: stanza.get("Filename")?.to_owned(),
                size: stanza.get("Size")?.parse().ok()?,
                sha256: stanza.get("SHA256")?.to_ascii_lowercase(),
            };
            let whole = package.point().is_some()
                && package.sha256.len() == 64
                && package.sha256.bytes().all(|b| b.is_ascii_hexdigit())
                && !package.filename.contains("..");
            whole.then_some(package)
        })
        .collect()
}

/// The packages of one series and flavour (`cloud-amd64`), the newest first; of two of the same version the signed
/// one first.
pub fn select<'a>(packages: &'a [Package], series: Series, flavour: &str) -> Vec<&'a Package> {
    let mut found: Vec<&Package> =
        packages.iter().filter(|p| p.series() == Some(series) && is_flavour(&p.release, flavour)).collect();
    found.sort_by(|a, b| {
        super::version::compare_debian(&b.version, &a.version).then(a.is_unsigned().cmp(&b.is_unsigned()))
    });
    found
}

/// Whether a release name is of this flavour and no other: `6.12.107+deb13-cloud-amd64` is `cloud-amd64`, and not `amd64`.
fn is_flavour(release: &str, flavour: &str) -> bool {
    release.strip_suffix(flavour).and_then(|rest| rest.strip_suffix('-')).is_some_and(|rest| {
        rest.rsplit('-').next().is_some_and(|word| !word.starts_with(|c: char| c.is_ascii_alphabetic()))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PACKAGES: &str = include_str!("testdata/Packages");
    const RELEASE: &str = include_str!("testdata/Release");

    #[test]
    fn finds_the_kernels_and_nothing_else() {
        insta::assert_json_snapshot!(kernel_packages(PACKAGES));
    }

    #[rstest]
    #[case("5.10", "cloud-amd64", &["5.10.0-32-cloud-amd64", "5.10.0-30-cloud-amd64", "5.10.0-30-cloud-amd64"])]
    #[case("5.10", "amd64", &["5.10.0-32-amd64"])]
    #[case("6.12", "cloud-amd64", &["6.12.95+deb12-cloud-amd64", "6.12.90+deb12.1-cloud-amd64"])]
    #[case("7.3", "cloud-amd64", &["7.3-cloud-amd64"])]
    #[case("6.1", "cloud-amd64", &[])]
    fn newest_first(#[case] series: &str, #[case] flavour: &str, #[case] releases: &[&str]) {
        let packages = kernel_packages(PACKAGES);
        let found: Vec<_> =
            select(&packages, series.parse().unwrap(), flavour).iter().map(|p| p.release.as_str()).collect();
        assert_eq!(found, releases);
    }

    #[test]
    fn signed_before_unsigned() {
        let packages = kernel_packages(PACKAGES);
        let found = select(&packages, Series::new(5, 10), "cloud-amd64");
        assert_eq!(found.iter().map(|p| p.is_unsigned()).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn the_promise() {
        let promise = promise(RELEASE, "trixie-backports", "amd64").unwrap();
        assert_eq!(promise.size, 311_412);
        assert!(promise.by_hash);
        assert_eq!(promise.sha256, "aa".repeat(32));
    }

    #[rstest]
    #[case("trixie", "amd64", Malformed::OtherSuite { found: "stable-backports/trixie-backports".into() })]
    #[case("trixie-backports", "s390x", Malformed::NoIndex("main/binary-s390x/Packages.xz".into()))]
    fn no_promise(#[case] suite: &str, #[case] arch: &str, #[case] error: Malformed) {
        assert_eq!(promise(RELEASE, suite, arch), Err(error));
    }
}
