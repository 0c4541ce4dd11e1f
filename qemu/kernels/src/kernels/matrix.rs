//! `matrix.toml`: which series are tested, and which suites of the archive serve each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::selector::{Selector, is_variant, label};
use super::version::Series;
use crate::arch::Arch;

/// The file cannot be read or is invalid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file is not TOML of the expected shape.
    #[error("{}: {source}", path.display())]
    Parse {
        /// Path of the file.
        path: PathBuf,
        /// The parse error with its position.
        source: Box<toml::de::Error>,
    },
    /// The contents are inconsistent.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// The problem.
        what: String,
    },
}

/// The whole file. Entries are sorted by series, the plain one before its variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The entries.
    #[serde(rename = "kernel")]
    pub entries: Vec<Entry>,
    /// Where other packages come from.
    #[serde(default)]
    pub toolchain: Toolchain,
}

/// Packages taken from the archive besides kernels ([`super::extra`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// The suites to search, in this order.
    pub suites: Vec<String>,
}

/// One series, or one variant of it, on one or more architectures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The series.
    pub series: Series,
    /// The variant within the series, by the suffix of its release name (`16k`, `64k`: the page
    /// size). Empty for the plain kernel.
    #[serde(default)]
    pub variant: String,
    /// Its architectures.
    pub arch: Vec<Arch>,
    /// The suites that serve it, the preferred first. A point release selected by number is looked
    /// up in all.
    pub sources: Vec<Source>,
}

/// A suite of the archive that serves a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The suite, as in `dists/SUITE`.
    pub suite: String,
    /// The word before the architecture in the kernel's release name: `cloud`, or empty for the
    /// generic kernel.
    #[serde(default)]
    pub flavour: String,
}

impl Entry {
    /// The suffix of the release name of a source's kernels: `cloud-amd64`, `amd64`, `arm64-16k`.
    pub fn flavour(&self, source: &Source, arch: Arch) -> String {
        let words = [&source.flavour, arch.debian_kernel(), &self.variant];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// Whether a selector matches this entry.
    pub fn is_meant_by(&self, selector: &Selector) -> bool {
        match selector {
            Selector::All => true,
            Selector::Major(major) => self.series.major == *major,
            Selector::Series(series, variant) => self.series == *series && self.variant == *variant,
            Selector::Release(version, variant) => self.series == version.series && self.variant == *variant,
            Selector::Host | Selector::Debug | Selector::Path(_) => false,
        }
    }

    /// The entry's label on command lines and in cells: `6.12`, `6.12-16k`.
    pub fn label(&self) -> String {
        label(self.series, &self.variant)
    }
}

impl Matrix {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or parsed, or is inconsistent.
    pub fn load(path: &Path) -> Result<Matrix, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Matrix::parse(path, &text)
    }

    /// Parses the file's text; `path` is for messages.
    ///
    /// # Errors
    /// When it cannot be parsed, or is inconsistent.
    pub fn parse(path: &Path, text: &str) -> Result<Matrix, Error> {
        let mut matrix: Matrix = toml::from_str(text)
            .map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })?;
        matrix.check().map_err(|what| Error::Invalid { path: path.to_owned(), what })?;
        matrix.entries.sort_by(|a, b| (a.series, &a.variant).cmp(&(b.series, &b.variant)));
        Ok(matrix)
    }

    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for entry in &self.entries {
            let label = entry.label();
            if entry.sources.is_empty() {
                return Err(format!("series {label} has no source"));
            }
            if entry.arch.is_empty() {
                return Err(format!("series {label} has no architecture"));
            }
            if !entry.variant.is_empty() && !is_variant(&entry.variant) {
                return Err(format!("series {}: not a variant: {:?}", entry.series, entry.variant));
            }
            for &arch in &entry.arch {
                if !seen.insert((label.clone(), arch)) {
                    return Err(format!("series {label} appears twice for {arch}"));
                }
            }
            for source in &entry.sources {
                if !is_suite(&source.suite) || !source.flavour.bytes().all(is_plain) {
                    return Err(format!("series {label}: not a suite and flavour: {source:?}"));
                }
            }
        }
        match self.toolchain.suites.iter().find(|suite| !is_suite(suite)) {
            Some(suite) => Err(format!("toolchain: not a suite: {suite:?}")),
            None => Ok(()),
        }
    }

    /// The entries for one architecture, oldest series first.
    pub fn of(&self, arch: Arch) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.arch.contains(&arch))
    }

    /// The labels of the entries for one architecture, oldest series first.
    pub fn labels(&self, arch: Arch) -> Vec<String> {
        self.of(arch).map(Entry::label).collect()
    }

    /// Whether a selector matches an entry for this architecture.
    pub fn covers(&self, arch: Arch, selector: &Selector) -> bool {
        self.of(arch).any(|entry| entry.is_meant_by(selector))
    }

    /// Every architecture that has an entry.
    pub fn architectures(&self) -> Vec<Arch> {
        Arch::ALL.into_iter().filter(|&arch| self.of(arch).next().is_some()).collect()
    }

    /// All suites named in the file.
    pub fn suites(&self) -> BTreeSet<&str> {
        let kernels =
            self.entries.iter().flat_map(|entry| &entry.sources).map(|source| source.suite.as_str());
        kernels.chain(self.toolchain.suites.iter().map(String::as_str)).collect()
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.'
}

fn is_suite(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SOME: &str = r#"
        [[kernel]]
        series = "6.12"
        arch = ["x86_64"]
        sources = [{ suite = "trixie", flavour = "cloud" }, { suite = "bookworm-backports" }]
        [[kernel]]
        series = "5.10"
        arch = ["x86_64", "aarch64"]
        sources = [{ suite = "bullseye" }]
        [[kernel]]
        series = "5.10"
        variant = "16k"
        arch = ["aarch64"]
        sources = [{ suite = "bullseye" }]
        [[kernel]]
        series = "6.1"
        arch = ["powerpc64le"]
        sources = [{ suite = "bookworm" }]
        [toolchain]
        suites = ["trixie"]
    "#;

    fn parse(text: &str) -> Result<Matrix, Error> {
        Matrix::parse(Path::new("matrix.toml"), text)
    }

    #[test]
    fn sorted_and_filtered() {
        let matrix = parse(SOME).unwrap();
        assert_eq!(matrix.labels(Arch::X86_64), ["5.10", "6.12"]);
        assert_eq!(matrix.labels(Arch::Aarch64), ["5.10", "5.10-16k"]);
        assert_eq!(matrix.architectures(), Arch::ALL);
        let flavours = |arch: Arch| -> Vec<String> {
            let entries = matrix.of(arch);
            entries.flat_map(|entry| entry.sources.iter().map(|source| entry.flavour(source, arch))).collect()
        };
        assert_eq!(flavours(Arch::X86_64), ["amd64", "cloud-amd64", "amd64"]);
        assert_eq!(flavours(Arch::Aarch64), ["arm64", "arm64-16k"]);
        assert_eq!(flavours(Arch::Powerpc64le), ["powerpc64le"]);
        let suites: Vec<&str> = matrix.suites().into_iter().collect();
        assert_eq!(suites, ["bookworm", "bookworm-backports", "bullseye", "trixie"]);
    }

    #[rstest]
    #[case("[[kernel]]\nseries='6.1'\narch=['x86_64']\nsources=[]", "no source")]
    #[case("[[kernel]]\nseries='6.1'\narch=[]\nsources=[{suite='a'}]", "no architecture")]
    #[case("[[kernel]]\nseries='6'\narch=['x86_64']\nsources=[{suite='a'}]", "not a kernel version")]
    #[case("[[kernel]]\nseries='6.1'\narch=['x86_64']\nsources=[{suite='../a'}]", "not a suite")]
    #[case("[[kernel]]\nseries='6.1'\narch=['x86_64']\nsources=[{suite='a'}]\nextra=1", "unknown field")]
    #[case("[[kernel]]\nseries='6.1'\narch=['x86_64','x86_64']\nsources=[{suite='a'}]", "twice")]
    #[case(
        "[[kernel]]\nseries='6.1'\nvariant='16K'\narch=['x86_64']\nsources=[{suite='a'}]",
        "not a variant"
    )]
    #[case("kernel=[]\n[toolchain]\nsuites=['a/b']", "toolchain: not a suite")]
    fn refused(#[case] text: &str, #[case] why: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn the_projects_own_file_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../matrix.toml");
        let matrix = Matrix::load(&path).unwrap();
        assert!(matrix.labels(Arch::X86_64).len() >= 10);
        assert_eq!(matrix.architectures(), Arch::ALL);
        assert!(!matrix.toolchain.suites.is_empty());
    }
}
