//! `expectations.toml`: what is known to fail, where, why, and until when.
//!
//! ```toml
//! [[expect]]
//! kernel = ">=6.16, <6.18"      # compared with major.minor.patch; `host` runs use the host's release
//! arch = "x86_64"               # optional, like engine, userland, mode; mode may be a list
//! workload = "memory/guard-*"   # a glob; a bare group name means the whole group
//! reason = "guard pages are not reported by PAGEMAP_SCAN before 6.18"
//! expires = "2027-06-01"        # from this day on the entry no longer excuses anything
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use globset::GlobMatcher;
use jiff::civil::Date;
use serde::Deserialize;

use crate::cell::{Cell, CellError, Mode, Userland, workload_glob};
use crate::verdict::Verdict;

/// A kernel release reduced to the numbers that order releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Release {
    /// Reads the leading numbers of a `uname -r` text: `6.12.107+deb13-cloud-amd64` is 6.12.107, `7.3` is 7.3.0.
    pub fn parse(text: &str) -> Option<Release> {
        let digits = |part: &str| -> Option<u32> {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        };
        let mut parts = text.splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor_text = parts.next()?;
        let minor = digits(minor_text)?;
        // `6.12-rc3` ends after the minor number, whatever follows.
        let patch =
            if minor_text.bytes().all(|b| b.is_ascii_digit()) { parts.next().and_then(digits) } else { None };
        Some(Release { major, minor, patch: patch.unwrap_or(0) })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A conjunction of comparisons: `>=5.10, <6.1`; `6.12` alone means every release of that series; `*` everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRange(Vec<Bound>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    relation: Relation,
    /// Two numbers compare with the series, three with the point release.
    numbers: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Less,
    LessEqual,
    Equal,
    GreaterEqual,
    Greater,
}

impl KernelRange {
    /// Whether the release lies in the range.
    pub fn contains(&self, release: Release) -> bool {
        self.0.iter().all(|bound| {
            let numbers = [release.major, release.minor, release.patch];
            // Only as many numbers as the bound names: `<=6.12` includes 6.12.107.
            let order = numbers[..bound.numbers.len()].cmp(&bound.numbers[..]);
            match bound.relation {
                Relation::Less => order == Ordering::Less,
                Relation::LessEqual => order != Ordering::Greater,
                Relation::Equal => order == Ordering::Equal,
                Relation::GreaterEqual => order != Ordering::Less,
                Relation::Greater => order == Ordering::Greater,
            }
        })
    }
}

/// Text that is no kernel range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no kernel range: wanted comparisons like `>=5.10, <6.1`, a series like `6.12`, or `*`")]
pub struct BadRange(String);

impl FromStr for KernelRange {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadRange(text.to_owned());
        if text.trim() == "*" {
            return Ok(KernelRange(Vec::new()));
        }
        let mut bounds = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let (relation, rest) = [
                ("<=", Relation::LessEqual),
                (">=", Relation::GreaterEqual),
                ("<", Relation::Less),
                (">", Relation::Greater),
                ("=", Relation::Equal),
            ]
            .into_iter()
            .find_map(|(sign, relation)| part.strip_prefix(sign).map(|rest| (relation, rest)))
            .unwrap_or((Relation::Equal, part));
            let numbers =
                rest.trim().split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().map_err(|_| bad())?;
            if numbers.len() > 3 {
                return Err(bad());
            }
            bounds.push(Bound { relation, numbers });
        }
        Ok(KernelRange(bounds))
    }
}

/// One known failure.
#[derive(Debug, Clone)]
pub struct Expectation {
    kernel: KernelRange,
    arch: Option<String>,
    engine: Option<String>,
    userland: Option<Userland>,
    modes: Option<Vec<Mode>>,
    workload: GlobMatcher,
    /// Why it fails.
    pub reason: String,
    /// First day on which it is no longer excused.
    pub expires: Date,
}

/// All known failures.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    entries: Vec<Expectation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileV1 {
    #[serde(default)]
    expect: Vec<EntryV1>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryV1 {
    kernel: String,
    arch: Option<String>,
    engine: Option<String>,
    userland: Option<Userland>,
    mode: Option<ModesV1>,
    workload: String,
    reason: String,
    expires: String,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "mode: wanted the name of a mode, or a list of such")]
enum ModesV1 {
    One(Mode),
    Several(Vec<Mode>),
}

/// A file of expectations that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationsError {
    /// The file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No such TOML, or not of this shape.
    #[error("parse expectations: {0}")]
    Toml(#[from] toml::de::Error),
    /// A kernel range that is none.
    #[error("expectation for `{workload}`: {source}")]
    Range {
        /// The entry's glob.
        workload: String,
        /// What is wrong.
        #[source]
        source: BadRange,
    },
    /// A workload glob that is none.
    #[error(transparent)]
    Glob(#[from] CellError),
    /// A date that is none.
    #[error("expectation for `{workload}`: expires: {source}")]
    Date {
        /// The entry's glob.
        workload: String,
        /// What is wrong.
        #[source]
        source: jiff::Error,
    },
    /// An entry that says nothing about why.
    #[error("expectation for `{0}`: the reason is empty")]
    NoReason(String),
}

impl Expectations {
    /// Reads and checks a file; a file that does not exist expects nothing to fail.
    ///
    /// # Errors
    /// [`ExpectationsError`], naming the entry.
    pub fn load(path: &Path) -> Result<Self, ExpectationsError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Expectations::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Expectations::default()),
            Err(source) => Err(ExpectationsError::Read { path: path.to_owned(), source }),
        }
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    /// [`ExpectationsError`], naming the entry.
    pub fn parse(text: &str) -> Result<Self, ExpectationsError> {
        let file: FileV1 = toml::from_str(text)?;
        let mut entries = Vec::new();
        for entry in file.expect {
            let EntryV1 { kernel, arch, engine, userland, mode, workload, reason, expires } = entry;
            if reason.trim().is_empty() {
                return Err(ExpectationsError::NoReason(workload));
            }
            let kernel = kernel
                .parse()
                .map_err(|source| ExpectationsError::Range { workload: workload.clone(), source })?;
            let expires = expires
                .parse()
                .map_err(|source| ExpectationsError::Date { workload: workload.clone(), source })?;
            let modes = mode.map(|mode| match mode {
                ModesV1::One(mode) => vec![mode],
                ModesV1::Several(modes) => modes,
            });
            let glob = workload_glob(&workload)?.compile_matcher();
            entries.push(Expectation {
                kernel,
                arch,
                engine,
                userland,
                modes,
                workload: glob,
                reason,
                expires,
            });
        }
        Ok(Expectations { entries })
    }

    /// The first entry that speaks of this cell on this kernel release, whether or not it has expired.
    pub fn find(&self, cell: &Cell, release: Option<Release>) -> Option<&Expectation> {
        self.entries.iter().find(|e| {
            release.is_some_and(|r| e.kernel.contains(r))
                && e.arch.as_ref().is_none_or(|arch| *arch == cell.arch)
                && e.engine.as_ref().is_none_or(|engine| *engine == cell.engine)
                && e.userland.is_none_or(|userland| userland == cell.userland)
                && e.modes.as_ref().is_none_or(|modes| modes.contains(&cell.mode))
                && e.workload.is_match(&cell.workload)
        })
    }

    /// Turns what was seen into the verdict that is reported, with the words to add to its reason.
    pub fn judge(
        &self,
        cell: &Cell,
        release: Option<Release>,
        seen: Verdict,
        today: Date,
    ) -> (Verdict, Option<String>) {
        let Some(entry) = self.find(cell, release) else { return (seen, None) };
        match seen {
            seen if seen.is_excusable() && today < entry.expires => {
                (Verdict::Xfail, Some(format!("expected: {}", entry.reason)))
            }
            seen if seen.is_excusable() => {
                (seen, Some(format!("the expectation expired on {}: {}", entry.expires, entry.reason)))
            }
            Verdict::Pass => (Verdict::Xpass, Some(format!("expected to fail: {}", entry.reason))),
            seen => (seen, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("6.12.107+deb13-cloud-amd64", Some((6, 12, 107)))]
    #[case("5.10.0-39-cloud-amd64", Some((5, 10, 0)))]
    #[case("7.3", Some((7, 3, 0)))]
    #[case("6.19-rc4", Some((6, 19, 0)))]
    #[case("host", None)]
    #[case("6", None)]
    fn release(#[case] text: &str, #[case] wanted: Option<(u32, u32, u32)>) {
        let wanted = wanted.map(|(major, minor, patch)| Release { major, minor, patch });
        assert_eq!(Release::parse(text), wanted);
    }

    #[rstest]
    #[case(">=5.10, <6.1", "5.10.200", true)]
    #[case(">=5.10, <6.1", "6.0.3", true)]
    #[case(">=5.10, <6.1", "6.1.0", false)]
    #[case("<=6.12", "6.12.107", true)]
    #[case(">6.12", "6.12.107", false)]
    #[case("6.12", "6.12.1", true)]
    #[case("=6.12.2", "6.12.1", false)]
    #[case("7", "7.3", true)]
    #[case("*", "4.19", true)]
    fn range_contains(#[case] range: &str, #[case] release: &str, #[case] inside: bool) {
        let range: KernelRange = range.parse().unwrap();
        assert_eq!(range.contains(Release::parse(release).unwrap()), inside);
    }

    #[rstest]
    #[case("")]
    #[case("new")]
    #[case(">=")]
    #[case("6.12.1.2")]
    #[case("6.12,")]
    fn bad_range(#[case] text: &str) {
        assert_eq!(text.parse::<KernelRange>().unwrap_err(), BadRange(text.to_owned()));
    }

    const FILE: &str = r#"
        [[expect]]
        kernel = ">=6.16, <6.18"
        workload = "memory/guard-*"
        engine = "cairn"
        mode = "twice"
        reason = "guard pages"
        expires = "2027-06-01"

        [[expect]]
        kernel = "*"
        workload = "timers/sleep"
        mode = ["once", "continue"]
        reason = "restart blocks"
        expires = "2027-06-01"
    "#;

    fn cell(workload: &str, mode: Mode) -> Cell {
        Cell {
            kernel: "6.17".into(),
            arch: "x86_64".into(),
            userland: Userland::Dynamic,
            engine: "cairn".into(),
            workload: workload.into(),
            mode,
        }
    }

    #[rstest]
    #[case("memory/guard-one", Mode::Twice, Verdict::Fail, date(2027, 5, 31), Verdict::Xfail)]
    #[case("memory/guard-one", Mode::Twice, Verdict::Splat, date(2027, 5, 31), Verdict::Xfail)]
    #[case("memory/guard-one", Mode::Twice, Verdict::Fail, date(2027, 6, 1), Verdict::Fail)]
    #[case("memory/guard-one", Mode::Twice, Verdict::Pass, date(2027, 5, 31), Verdict::Xpass)]
    #[case("memory/guard-one", Mode::Twice, Verdict::Infra, date(2027, 5, 31), Verdict::Infra)]
    #[case("memory/guard-one", Mode::Twice, Verdict::Skip, date(2027, 5, 31), Verdict::Skip)]
    #[case("memory/guard-one", Mode::Once, Verdict::Fail, date(2027, 5, 31), Verdict::Fail)]
    #[case("memory/heap", Mode::Twice, Verdict::Fail, date(2027, 5, 31), Verdict::Fail)]
    #[case("timers/sleep", Mode::Once, Verdict::Fail, date(2027, 5, 31), Verdict::Xfail)]
    #[case("timers/sleep", Mode::Twice, Verdict::Fail, date(2027, 5, 31), Verdict::Fail)]
    fn judge(
        #[case] workload: &str,
        #[case] mode: Mode,
        #[case] seen: Verdict,
        #[case] today: Date,
        #[case] wanted: Verdict,
    ) {
        let expectations = Expectations::parse(FILE).unwrap();
        let (verdict, _) = expectations.judge(&cell(workload, mode), Release::parse("6.17.3"), seen, today);
        assert_eq!(verdict, wanted);
    }

    #[test]
    fn an_entry_must_say_why_and_be_understood() {
        let mute = FILE.replace("guard pages", " ");
        assert!(matches!(Expectations::parse(&mute), Err(ExpectationsError::NoReason(_))));
        let typo = FILE.replacen("mode", "moed", 1);
        assert!(matches!(Expectations::parse(&typo), Err(ExpectationsError::Toml(_))));
        let mode = Expectations::parse(&FILE.replace("continue", "contniue")).unwrap_err().to_string();
        assert!(mode.contains("wanted the name of a mode"), "{mode}");
        let never = FILE.replace("2027-06-01", "someday");
        assert!(matches!(Expectations::parse(&never), Err(ExpectationsError::Date { .. })));
    }

    proptest! {
        #[test]
        fn bounds_split_the_releases(
            a in (0u32..9, 0u32..40), r in (0u32..9, 0u32..40, 0u32..300),
        ) {
            let release = Release { major: r.0, minor: r.1, patch: r.2 };
            let inside = |sign: &str| {
                format!("{sign}{}.{}", a.0, a.1).parse::<KernelRange>().unwrap().contains(release)
            };
            prop_assert_eq!(inside("<") as u8 + inside("=") as u8 + inside(">") as u8, 1);
            prop_assert_eq!(inside("<="), inside("<") || inside("="));
            prop_assert_eq!(inside(">="), !inside("<"));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,30}") {
            let _ = text.parse::<KernelRange>();
            let _ = Release::parse(&text);
        }
    }
}
