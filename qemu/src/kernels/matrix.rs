//! `matrix.toml`: which series are tested, and which suites of the archive serve each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::version::Series;
use crate::arch::Arch;

/// The file could not be read or says nonsense.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is no TOML of this shape.
    #[error("{}: {source}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// It is well-formed and contradicts itself.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The whole file. Entries are sorted by series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The entries.
    #[serde(rename = "kernel")]
    pub entries: Vec<Entry>,
}

/// One series on one or more architectures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Which series.
    pub series: Series,
    /// On which architectures.
    pub arch: Vec<Arch>,
    /// Where it is served, the preferred place first. A point release asked for by number is looked up in all.
    pub sources: Vec<Source>,
}

/// One place of the archive that serves a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The suite, as in `dists/SUITE`.
    pub suite: String,
    /// The kernel's flavour without the architecture: `cloud`, or empty for the general one.
    #[serde(default)]
    pub flavour: String,
}

impl Source {
    /// The end of the kernel's release name: `cloud-amd64`, `amd64`.
    pub fn flavour_for(&self, arch: Arch) -> String {
        if self.flavour.is_empty() {
            arch.debian().to_owned()
        } else {
            format!("{}-{}", self.flavour, arch.debian())
        }
    }
}

impl Matrix {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, parsed, or contradicts itself.
    pub fn load(path: &Path) -> Result<Matrix, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Matrix::parse(path, &text)
    }

    /// Reads the file's text; `path` is for messages.
    ///
    /// # Errors
    /// When it cannot be parsed, or contradicts itself.
    pub fn parse(path: &Path, text: &str) -> Result<Matrix, Error> {
        let mut matrix: Matrix = toml::from_str(text)
            .map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })?;
        matrix.check().map_err(|what| Error::Invalid { path: path.to_owned(), what })?;
        matrix.entries.sort_by_key(|entry| entry.series);
        Ok(matrix)
    }

    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for entry in &self.entries {
            if entry.sources.is_empty() {
                return Err(format!("series {} has no source", entry.series));
            }
            if entry.arch.is_empty() {
                return Err(format!("series {} has no architecture", entry.series));
            }
            for &arch in &entry.arch {
                if !seen.insert((entry.series, arch)) {
                    return Err(format!("series {} appears twice for {arch}", entry.series));
                }
            }
            for source in &entry.sources {
                let plain = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
                if source.suite.is_empty() || !plain(&source.suite) || !plain(&source.flavour) {
                    return Err(format!("series {}: not a suite and flavour: {source:?}", entry.series));
                }
            }
        }
        Ok(())
    }

    /// The entries for one architecture, oldest series first.
    pub fn of(&self, arch: Arch) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.arch.contains(&arch))
    }

    /// The series for one architecture, oldest first.
    pub fn series(&self, arch: Arch) -> Vec<Series> {
        self.of(arch).map(|entry| entry.series).collect()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TWO: &str = r#"
        [[kernel]]
        series = "6.12"
        arch = ["x86_64"]
        sources = [{ suite = "trixie", flavour = "cloud" }, { suite = "bookworm-backports" }]
        [[kernel]]
        series = "5.10"
        arch = ["x86_64", "aarch64"]
        sources = [{ suite = "bullseye" }]
    "#;

    fn parse(text: &str) -> Result<Matrix, Error> {
        Matrix::parse(Path::new("matrix.toml"), text)
    }

    #[test]
    fn sorted_and_filtered() {
        let matrix = parse(TWO).unwrap();
        assert_eq!(matrix.series(Arch::X86_64), [Series::new(5, 10), Series::new(6, 12)]);
        assert_eq!(matrix.series(Arch::Aarch64), [Series::new(5, 10)]);
        let sources = &matrix.entries[1].sources;
        assert_eq!(sources[0].flavour_for(Arch::X86_64), "cloud-amd64");
        assert_eq!(sources[1].flavour_for(Arch::X86_64), "amd64");
    }

    #[rstest]
    #[case("[[kernel]]\nseries='6.1'\narch=['x86_64']\nsources=[]", "no source")]
    #[case("[[kernel]]\nseries='6.1'\narch=[]\nsources=[{suite='a'}]", "no architecture")]
    #[case("[[kernel]]\nseries='6'\narch=['x86_64']\nsources=[{suite='a'}]", "not a kernel version")]
    #[case("[[kernel]]\nseries='6.1'\narch=['x86_64']\nsources=[{suite='../a'}]", "not a suite")]
    #[case("[[kernel]]\nseries='6.1'\narch=['x86_64']\nsources=[{suite='a'}]\nextra=1", "unknown field")]
    #[case("[[kernel]]\nseries='6.1'\narch=['x86_64','x86_64']\nsources=[{suite='a'}]", "twice")]
    fn refused(#[case] text: &str, #[case] why: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn the_projects_own_file_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../matrix.toml");
        let matrix = Matrix::load(&path).unwrap();
        assert!(matrix.series(Arch::X86_64).len() >= 10);
    }
}
