//! A suite's index: the digests in a verified `InRelease`, and the kernel packages in `Packages`.
//! Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::control;
use super::version::{Series, Version};

/// One package: a kernel or a part of one, or another needed package.
///
/// Up to 6.18 Debian's `linux-image-RELEASE` contains everything. From 6.19 it is empty and depends
/// on `linux-binary-RELEASE` (the image), `linux-modules-RELEASE` and `linux-base-RELEASE` (the
/// configuration and the lists of modules). Of a series that a suite no longer builds, sometimes
/// only the signed image is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// Path relative to the archive's base address.
    pub filename: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// The contents of a kernel package, according to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A whole kernel, or only dependencies if the kernel is split into several packages.
    Whole,
    /// The image alone.
    Binary,
    /// The modules.
    Modules,
    /// The configuration and the lists of modules.
    Base,
}

/// Parses a package's name: which part of which release it is, and whether it is unsigned.
pub fn part_of(name: &str) -> Option<(Part, &str, bool)> {
    let (part, release, unsigned) = if let Some(release) = name.strip_prefix("linux-image-") {
        match release.strip_suffix("-unsigned") {
            Some(release) => (Part::Whole, release, true),
            None => (Part::Whole, release, false),
        }
    } else if let Some(release) = name.strip_prefix("linux-binary-unsigned-") {
        (Part::Binary, release, true)
    } else if let Some(release) = name.strip_prefix("linux-binary-") {
        (Part::Binary, release, false)
    } else if let Some(release) = name.strip_prefix("linux-modules-") {
        (Part::Modules, release, false)
    } else {
        (Part::Base, name.strip_prefix("linux-base-")?, false)
    };
    // Excludes debug symbols and the metapackages that depend on the newest kernel.
    let real = release.starts_with(|c: char| c.is_ascii_digit()) && !release.ends_with("-dbg");
    real.then_some((part, release, unsigned))
}

impl Package {
    /// The kernel's point release, from the package's version; the name of a stable release's
    /// kernel does not contain it (`5.10.0-32-amd64` is 5.10.223).
    pub fn point(&self) -> Option<Version> {
        Version::prefix_of(&self.version)
    }
}

/// One kernel of a suite: its packages, the one with the image first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// `uname -r`.
    pub release: String,
    /// Its point release.
    pub point: Version,
    /// The packages, at least one.
    pub packages: Vec<Package>,
}

impl Build {
    /// The package that contains the image.
    pub fn image(&self) -> &Package {
        &self.packages[0]
    }

    /// Total size of all packages in bytes.
    pub fn size(&self) -> u64 {
        self.packages.iter().map(|package| package.size).sum()
    }

    /// Whether modules and configuration are available as well as the image.
    pub fn is_complete(&self) -> bool {
        let has =
            |wanted| self.packages.iter().any(|p| part_of(&p.name).is_some_and(|(part, ..)| part == wanted));
        has(Part::Whole) || (has(Part::Modules) && has(Part::Base))
    }
}

/// The package index of a suite as listed in its `InRelease`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Path relative to `dists/SUITE/`.
    pub path: String,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// Whether the file is also available by its digest, so that it cannot change between two
    /// requests.
    pub by_hash: bool,
}

/// Why an index is unusable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// The release file belongs to another suite.
    #[error("the release file is of suite {found:?}")]
    OtherSuite {
        /// The suite it belongs to.
        found: String,
    },
    /// It lists no package index for the architecture.
    #[error("the release file names no {0}")]
    NoIndex(String),
}

/// Finds the compressed package index of `main` for a Debian architecture in the verified text of
/// an `InRelease`.
///
/// # Errors
/// When the file belongs to another suite (by `Suite` and `Codename`), or lists no such index.
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

/// Whether a package is needed to build modules: the headers of one kernel, the headers common to
/// several, or kbuild's programs.
fn builds_modules(name: &str) -> bool {
    ["linux-headers-", "linux-kbuild-"]
        .iter()
        .filter_map(|prefix| name.strip_prefix(prefix))
        .any(|release| release.starts_with(|c: char| c.is_ascii_digit()) && !release.ends_with("-dbgsym"))
}

/// The needed packages in the text of a `Packages` file: kernels and parts of them, of every
/// flavour, signed or not, the packages for building modules, and those of [`super::names`].
pub fn packages(packages: &str) -> Vec<Package> {
    control::stanzas(packages)
        .filter_map(|stanza| {
            let name = stanza.get("Package")?;
            let kernel = part_of(name).is_some();
            if !kernel && !builds_modules(name) && !super::names::is_wanted(name) {
                return None;
            }
            let package = Package {
                name: name.to_owned(),
                version: stanza.get("Version")?.to_owned(),
                filename: stanza.get("Filename")?.to_owned(),
                size: stanza.get("Size")?.parse().ok()?,
                sha256: stanza.get("SHA256")?.to_ascii_lowercase(),
            };
            let whole = (!kernel || package.point().is_some())
                && package.sha256.len() == 64
                && package.sha256.bytes().all(|b| b.is_ascii_hexdigit())
                && !package.filename.contains("..");
            whole.then_some(package)
        })
        .collect()
}

/// The kernels of one series and flavour (`cloud-amd64`), the newest first. If an image exists
/// signed and unsigned, the signed one is used.
pub fn builds(packages: &[Package], series: Series, flavour: &str) -> Vec<Build> {
    /// The best package of each part, and whether it is unsigned.
    type Parts<'a> = BTreeMap<Part, (bool, &'a Package)>;
    // Keyed by release and version.
    let mut found: BTreeMap<(&str, &str), Parts<'_>> = BTreeMap::new();
    for package in packages {
        let Some((part, release, unsigned)) = part_of(&package.name) else { continue };
        if package.point().is_some_and(|point| point.series == series) && is_flavour(release, flavour) {
            let parts = found.entry((release, &package.version)).or_default();
            let better = parts.get(&part).is_none_or(|(other, _)| *other && !unsigned);
            if better {
                parts.insert(part, (unsigned, package));
            }
        }
    }
    let mut builds: Vec<(&str, Build)> = found
        .into_iter()
        .filter_map(|((release, version), mut parts)| {
            if parts.contains_key(&Part::Binary) {
                parts.remove(&Part::Whole);
            } else {
                // Modules without an image are useless.
                parts.retain(|&part, _| part == Part::Whole);
            }
            let packages: Vec<Package> = parts.into_values().map(|(_, package)| package.clone()).collect();
            let point = packages.first()?.point()?;
            Some((version, Build { release: release.to_owned(), point, packages }))
        })
        .collect();
    builds.sort_by(|(a, _), (b, _)| super::version::compare_debian(b, a));
    builds.into_iter().map(|(_, build)| build).collect()
}

/// Whether a release name has exactly this flavour: `6.12.107+deb13-cloud-amd64` is `cloud-amd64`,
/// and not `amd64`.
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
        insta::assert_json_snapshot!(super::packages(PACKAGES));
    }

    #[rstest]
    #[case("5.10", "cloud-amd64", &["5.10.0-32-cloud-amd64-unsigned", "5.10.0-30-cloud-amd64"])]
    #[case("5.10", "amd64", &["5.10.0-32-amd64"])]
    #[case("6.12", "cloud-amd64", &["6.12.95+deb12-cloud-amd64", "6.12.90+deb12.1-cloud-amd64"])]
    #[case("6.19", "cloud-amd64", &["6.19.14+deb13-cloud-amd64"])]
    #[case("7.3", "cloud-amd64", &["7.3-cloud-amd64"])]
    #[case("6.1", "cloud-amd64", &[])]
    fn newest_first(#[case] series: &str, #[case] flavour: &str, #[case] names: &[&str]) {
        let builds = builds(&super::packages(PACKAGES), series.parse().unwrap(), flavour);
        let found: Vec<&str> = builds
            .iter()
            .map(|build| {
                build.image().name.trim_start_matches("linux-image-").trim_start_matches("linux-binary-")
            })
            .collect();
        assert_eq!(found, names);
    }

    #[test]
    fn a_kernel_in_parts() {
        let packages = super::packages(PACKAGES);
        let names = |series| -> Vec<Vec<String>> {
            builds(&packages, series, "cloud-amd64")
                .into_iter()
                .map(|build| build.packages.into_iter().map(|p| p.name).collect())
                .collect()
        };
        let expect =
            ["linux-binary-7.3-cloud-amd64", "linux-modules-7.3-cloud-amd64", "linux-base-7.3-cloud-amd64"];
        assert_eq!(names(Series::new(7, 3)), [expect]);
        assert_eq!(names(Series::new(6, 19)), [["linux-binary-6.19.14+deb13-cloud-amd64"]]);
    }

    #[test]
    fn complete_or_not() {
        let packages = super::packages(PACKAGES);
        let complete = |series| builds(&packages, series, "cloud-amd64")[0].is_complete();
        assert!(complete(Series::new(7, 3)));
        assert!(complete(Series::new(6, 12)));
        assert!(!complete(Series::new(6, 19)));
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
