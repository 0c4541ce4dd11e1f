//! `expectations.toml`: what is known to fail, where, why, and until when it is tolerated.
//!
//! ```toml
//! [[expect]]
//! # Compared with major.minor.patch; runs on the host use the host's release.
//! kernel = ">=6.16, <6.18"
//! # Optional, like engine, userland and mode; mode may be a list.
//! arch = "x86_64"
//! # A glob; a bare group name means the whole group.
//! workload = "memory/guard-*"
//! # Where it fails, or a list. Instead of a stage: `verdict = "timeout"`, panic or splat.
//! stage = "verify"
//! reason = "guard pages are not reported by PAGEMAP_SCAN before 6.18"
//! # From this day on the entry no longer excuses anything; at most a year ahead.
//! expires = "2027-06-01"
//! ```
//!
//! An entry excuses only what it names: one with a stage excuses a failure in that stage, never a
//! hang.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use globset::GlobMatcher;
use jiff::civil::Date;
use serde::Deserialize;

use crate::cell::{Cell, CellError, Mode, Userland, workload_glob};
use crate::release::{BadRange, KernelRange, Release};
use crate::verdict::{Stage, Verdict};

/// One known failure.
#[derive(Debug, Clone)]
pub struct Expectation {
    kernel: KernelRange,
    arch: Option<String>,
    engine: Option<String>,
    userland: Option<Userland>,
    modes: Option<Vec<Mode>>,
    workload: GlobMatcher,
    /// The glob as written in the file.
    glob: String,
    seen: Seen,
    /// The cells it applies to, as text.
    pub about: String,
    /// Why it fails.
    pub reason: String,
    /// First day on which the failure is no longer excused.
    pub expires: Date,
}

/// How a known failure manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    verdict: Verdict,
    /// The stages; empty means any.
    stages: Vec<Stage>,
}

impl Seen {
    fn covers(&self, verdict: Verdict, stage: Option<Stage>) -> bool {
        self.verdict == verdict
            && (self.stages.is_empty() || stage.is_some_and(|stage| self.stages.contains(&stage)))
    }
}

/// The names that an entry may refer to.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The workloads, `group/name`, of each architecture whose corpus is available.
    pub workloads: BTreeMap<String, Vec<String>>,
    /// All architectures.
    pub archs: Vec<String>,
    /// All engines.
    pub engines: Vec<String>,
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
    mode: Option<OneOrMore<Mode>>,
    workload: String,
    stage: Option<OneOrMore<Stage>>,
    verdict: Option<Verdict>,
    reason: String,
    expires: String,
}

#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "expected one of the known words, or a list of them")]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn list(self) -> Vec<T> {
        match self {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(list) => list,
        }
    }
}

/// Why a file of expectations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationsError {
    /// The file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML, or not of the expected shape.
    #[error("parse expectations: {0}")]
    Toml(#[from] toml::de::Error),
    /// An invalid kernel range.
    #[error("expectation for `{workload}`: {source}")]
    Range {
        /// The entry's glob.
        workload: String,
        /// The parse error.
        #[source]
        source: BadRange,
    },
    /// An invalid workload glob.
    #[error(transparent)]
    Glob(#[from] CellError),
    /// An invalid date.
    #[error("expectation for `{workload}`: expires: {source}")]
    Date {
        /// The entry's glob.
        workload: String,
        /// The parse error.
        #[source]
        source: jiff::Error,
    },
    /// An entry with invalid contents.
    #[error("expectation for `{workload}`: {what}")]
    Entry {
        /// The entry's glob.
        workload: String,
        /// The problem.
        what: String,
    },
}

impl Expectations {
    /// Reads and checks a file; a missing file is an empty list of expectations.
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

    /// Parses and checks the text of a file.
    ///
    /// # Errors
    /// [`ExpectationsError`], naming the entry.
    pub fn parse(text: &str) -> Result<Self, ExpectationsError> {
        let file: FileV1 = toml::from_str(text)?;
        let mut entries = Vec::new();
        for entry in file.expect {
            let about = entry.about();
            let EntryV1 { kernel, arch, engine, userland, mode, workload, stage, verdict, reason, expires } =
                entry;
            let wrong =
                |what: &str| ExpectationsError::Entry { workload: workload.clone(), what: what.into() };
            if reason.trim().is_empty() {
                return Err(wrong("the reason is empty"));
            }
            if workload.chars().all(|c| "*/".contains(c)) {
                return Err(wrong("it would excuse every workload: name at least a group"));
            }
            let stages = stage.map_or(Vec::new(), OneOrMore::list);
            let verdict = match verdict {
                None if stages.is_empty() => {
                    return Err(wrong("it has neither a stage nor another verdict"));
                }
                None => Verdict::Fail,
                Some(verdict) if verdict.is_excusable() => verdict,
                Some(verdict) => return Err(wrong(&format!("an entry cannot expect {verdict}"))),
            };
            let seen = Seen { verdict, stages };
            let kernel = kernel
                .parse()
                .map_err(|source| ExpectationsError::Range { workload: workload.clone(), source })?;
            let expires = expires
                .parse()
                .map_err(|source| ExpectationsError::Date { workload: workload.clone(), source })?;
            let modes = mode.map(OneOrMore::list);
            if modes.as_ref().is_some_and(Vec::is_empty) {
                return Err(wrong("its list of modes is empty"));
            }
            let matcher = workload_glob(&workload)?.compile_matcher();
            entries.push(Expectation {
                kernel,
                arch,
                engine,
                userland,
                modes,
                workload: matcher,
                glob: workload,
                seen,
                about,
                reason,
                expires,
            });
        }
        Ok(Expectations { entries })
    }

    /// Checks the entries against the existing names and against the date.
    ///
    /// # Errors
    /// [`ExpectationsError::Entry`] for the first entry that refers to an unknown name, or expires
    /// more than a year ahead.
    pub fn check(&self, known: &Known, today: Date) -> Result<(), ExpectationsError> {
        for entry in &self.entries {
            let wrong = |what| ExpectationsError::Entry { workload: entry.glob.clone(), what };
            let among = |kind: &str, word: &Option<String>, all: &[String]| match word {
                Some(word) if !all.contains(word) => {
                    Err(wrong(format!("no {kind} `{word}` (known: {})", all.join(", "))))
                }
                _ => Ok(()),
            };
            among("architecture", &entry.arch, &known.archs)?;
            among("engine", &entry.engine, &known.engines)?;
            let mine = |arch: &String| entry.arch.as_ref().is_none_or(|wanted| wanted == arch);
            let corpora: Vec<_> = known.workloads.iter().filter(|(arch, _)| mine(arch)).collect();
            let mut names = corpora.iter().flat_map(|(_, names)| names.iter());
            if !corpora.is_empty() && !names.any(|name| entry.workload.is_match(name)) {
                let archs: Vec<&str> = corpora.iter().map(|(arch, _)| arch.as_str()).collect();
                let archs = archs.join(" and ");
                return Err(wrong(format!(
                    "no such workload in the corpus of {archs}; if another has it, name its architecture"
                )));
            }
            if entry.expires > today.saturating_add(jiff::Span::new().years(1)) {
                return Err(wrong(format!("expires on {}, which is more than a year ahead", entry.expires)));
            }
        }
        Ok(())
    }

    /// The entries, in the order of the file.
    pub fn entries(&self) -> &[Expectation] {
        &self.entries
    }

    /// Converts the observed verdict into the reported one, with text to add to its reason. If
    /// several entries apply to a cell, any one that covers the observation is enough.
    pub fn judge(
        &self,
        cell: &Cell,
        release: Option<Release>,
        (seen, stage): (Verdict, Option<Stage>),
        today: Date,
    ) -> (Verdict, Option<String>) {
        let of_it: Vec<&Expectation> =
            self.entries.iter().filter(|entry| entry.speaks_of(cell, release)).collect();
        let Some(first) = of_it.first() else { return (seen, None) };
        if seen == Verdict::Pass {
            return (Verdict::Xpass, Some(format!("expected to fail: {}", first.reason)));
        }
        if !seen.is_excusable() {
            return (seen, None);
        }
        let Some(entry) = of_it.iter().find(|entry| entry.seen.covers(seen, stage)) else {
            let Seen { verdict, stages } = &first.seen;
            let stages: Vec<String> = stages.iter().map(ToString::to_string).collect();
            let at = if stages.is_empty() { String::new() } else { format!(" at {}", stages.join(" or ")) };
            return (seen, Some(format!("expected {verdict}{at}: {}", first.reason)));
        };
        if today < entry.expires {
            (Verdict::Xfail, Some(format!("expected: {}", entry.reason)))
        } else {
            (seen, Some(format!("the expectation expired on {}: {}", entry.expires, entry.reason)))
        }
    }
}

impl Expectation {
    /// Whether it applies to this cell on this kernel release, expired or not.
    pub fn speaks_of(&self, cell: &Cell, release: Option<Release>) -> bool {
        release.is_some_and(|release| self.kernel.contains(release))
            && self.arch.as_ref().is_none_or(|arch| *arch == cell.arch)
            && self.engine.as_ref().is_none_or(|engine| *engine == cell.engine)
            && self.userland.is_none_or(|userland| userland == cell.userland)
            && self.modes.as_ref().is_none_or(|modes| modes.contains(&cell.mode))
            && self.workload.is_match(&cell.workload)
    }
}

impl EntryV1 {
    fn about(&self) -> String {
        let modes = self
            .mode
            .clone()
            .map(|modes| modes.list().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        let userland = self.userland.map(|userland| userland.to_string());
        let narrower = [&self.arch, &self.engine, &userland, &modes];
        let words: Vec<&str> = narrower.into_iter().flatten().map(String::as_str).collect();
        let kernel = if self.kernel.trim() == "*" { "every kernel" } else { self.kernel.trim() };
        [&self.workload, kernel].into_iter().chain(words).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use rstest::rstest;

    const FILE: &str = r#"
        [[expect]]
        kernel = ">=6.16, <6.18"
        workload = "memory/guard-*"
        engine = "cairn"
        mode = "twice"
        stage = "verify"
        reason = "guard pages"
        expires = "2027-06-01"

        [[expect]]
        kernel = "*"
        workload = "timers/sleep"
        mode = ["once", "continue"]
        verdict = "timeout"
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

    const VERIFY: Option<Stage> = Some(Stage::Verify);
    const RESTART: Option<Stage> = Some(Stage::Restart);

    #[rstest]
    #[case("memory/guard-one", Mode::Twice, (Verdict::Fail, VERIFY), 31, Verdict::Xfail)]
    #[case::elsewhere("memory/guard-one", Mode::Twice, (Verdict::Fail, RESTART), 31, Verdict::Fail)]
    #[case::a_splat_is_another_thing("memory/guard-one", Mode::Twice, (Verdict::Splat, VERIFY), 31, Verdict::Splat)]
    #[case::so_is_a_hang("memory/guard-one", Mode::Twice, (Verdict::Timeout, VERIFY), 31, Verdict::Timeout)]
    #[case::so_is_a_panic("memory/guard-one", Mode::Twice, (Verdict::Panic, None), 31, Verdict::Panic)]
    #[case::expired("memory/guard-one", Mode::Twice, (Verdict::Fail, VERIFY), 32, Verdict::Fail)]
    #[case("memory/guard-one", Mode::Twice, (Verdict::Pass, None), 31, Verdict::Xpass)]
    #[case("memory/guard-one", Mode::Twice, (Verdict::Infra, VERIFY), 31, Verdict::Infra)]
    #[case("memory/guard-one", Mode::Twice, (Verdict::Skip, None), 31, Verdict::Skip)]
    #[case("memory/guard-one", Mode::Once, (Verdict::Fail, VERIFY), 31, Verdict::Fail)]
    #[case("memory/heap", Mode::Twice, (Verdict::Fail, VERIFY), 31, Verdict::Fail)]
    #[case("timers/sleep", Mode::Once, (Verdict::Timeout, RESTART), 31, Verdict::Xfail)]
    #[case("timers/sleep", Mode::Once, (Verdict::Fail, RESTART), 31, Verdict::Fail)]
    #[case("timers/sleep", Mode::Twice, (Verdict::Timeout, RESTART), 31, Verdict::Timeout)]
    fn judge(
        #[case] workload: &str,
        #[case] mode: Mode,
        #[case] seen: (Verdict, Option<Stage>),
        #[case] day_of_may: i8,
        #[case] wanted: Verdict,
    ) {
        let expectations = Expectations::parse(FILE).unwrap();
        let today = if day_of_may > 31 { date(2027, 6, 1) } else { date(2027, 5, day_of_may) };
        let (verdict, _) = expectations.judge(&cell(workload, mode), Release::parse("6.17.3"), seen, today);
        assert_eq!(verdict, wanted);
    }

    #[rstest]
    #[case::mute("guard pages", " ", "the reason is empty")]
    #[case::typo("mode", "moed", "unknown field `moed`")]
    #[case::mode("continue", "contniue", "expected one of the known words")]
    #[case::never("2027-06-01", "someday", "expires: ")]
    #[case::stage("verify", "verfy", "expected one of the known words")]
    #[case::neither_stage_nor_verdict("stage = \"verify\"", "", "neither a stage")]
    #[case::inexcusable("timeout", "infra", "an entry cannot expect infra")]
    #[case::everything("memory/guard-*", "**", "every workload")]
    #[case::everything_in_two_words("memory/guard-*", "*/*", "every workload")]
    fn an_entry_must_say_why_and_be_understood(#[case] from: &str, #[case] to: &str, #[case] why: &str) {
        let error = Expectations::parse(&FILE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[rstest]
    #[case::right("", "", None)]
    #[case::workload("memory/guard-*", "memory/gaurd-*", Some("no such workload in the corpus of x86_64"))]
    #[case::of_an_architecture_that_nobody_has_at_hand(
        "workload = \"timers/sleep\"",
        "workload = \"fp/sve\"\narch = \"aarch64\"",
        None
    )]
    #[case::group("timers/sleep", "timer", Some("no such workload in the corpus of x86_64"))]
    #[case::engine("\"cairn\"", "\"crain\"", Some("no engine `crain` (known: cairn)"))]
    #[case::arch("engine = \"cairn\"", "arch = \"amd64\"", Some("no architecture `amd64`"))]
    #[case::for_ever("2027-06-01", "2999-01-01", Some("more than a year ahead"))]
    #[case::a_year_and_a_day("2027-06-01", "2027-06-02", Some("more than a year ahead"))]
    fn an_entry_speaks_of_what_there_is(#[case] from: &str, #[case] to: &str, #[case] why: Option<&str>) {
        let known = Known {
            workloads: BTreeMap::from([(
                "x86_64".into(),
                ["memory/guard-one", "timers/sleep"].map(str::to_owned).to_vec(),
            )]),
            archs: vec!["x86_64".into(), "aarch64".into()],
            engines: vec!["cairn".into()],
        };
        let expectations = Expectations::parse(&FILE.replacen(from, to, 1)).unwrap();
        let error = expectations.check(&known, date(2026, 6, 1)).err().map(|error| error.to_string());
        match (why, &error) {
            (None, None) => {}
            (Some(why), Some(error)) => assert!(error.contains(why), "{error}"),
            _ => panic!("{error:?}"),
        }
    }

    #[test]
    fn an_entry_is_told_in_words() {
        let expectations = Expectations::parse(FILE).unwrap();
        let about: Vec<&str> = expectations.entries().iter().map(|entry| entry.about.as_str()).collect();
        assert_eq!(
            about,
            ["memory/guard-*, >=6.16, <6.18, cairn, twice", "timers/sleep, every kernel, once, continue"]
        );
    }
}
