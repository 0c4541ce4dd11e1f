//! A cell: one kernel × arch × userland × engine × workload × mode. Identity and selection of
//! cells.
//!
//! The text form, `6.12/x86_64/dynamic/cairn/pipes/bytes-in-flight/once`, is the same in reports,
//! bundles, expectations and on the command line.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

/// The build of the corpus that a cell runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Userland {
    /// Dynamically linked, with the system's loader and C library.
    Dynamic,
    /// Statically linked.
    Static,
}

/// How a cell's workload is started, and how often and in which order it is checkpointed and
/// restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Checkpoint, kill, restart, verify.
    Once,
    /// Checkpoint, kill, restart, then the same again with the restarted tree.
    Twice,
    /// Checkpoint, and verify the original, which keeps running.
    Continue,
    /// As once, with the workload as a job of a shell that stays alive: it leads a process group in
    /// the shell's session. The shell reaps the killed processes only some time after the restart
    /// has begun.
    Job,
    /// As once, with the workload in the session and the process group of a shell that stays alive,
    /// as a command that a script starts with `&`.
    Script,
    /// Checkpoint and restart, each killed several times at moments spread over it, before it is
    /// let finish.
    Killed,
}

macro_rules! words {
    ($type:ident, $what:literal, $($variant:ident => $word:literal),+) => {
        impl $type {
            /// All values, in the order used by reports.
            pub const ALL: &[$type] = &[$($type::$variant),+];

            /// The word used on the command line and in reports.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = CellError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $type::ALL.iter().copied().find(|v| v.name() == text).ok_or_else(|| CellError::Word {
                    what: $what,
                    given: text.to_owned(),
                    known: $type::ALL.iter().map(|v| v.name()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

words!(Userland, "userland", Dynamic => "dynamic", Static => "static");
impl Mode {
    /// What is run unless modes are chosen: all but the longest.
    pub const USUAL: &[Mode] = &[Mode::Once, Mode::Twice, Mode::Continue, Mode::Job, Mode::Script];
}

words!(Mode, "mode", Once => "once", Twice => "twice", Continue => "continue", Job => "job", Script => "script", Killed => "killed");

/// Text that is not a valid cell or pattern.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// An unknown word where only a fixed set is allowed.
    #[error("unknown {what} `{given}` (known: {known})")]
    Word {
        /// The kind of word expected.
        what: &'static str,
        /// The word found.
        given: String,
        /// The valid words.
        known: String,
    },
    /// The text does not have seven parts.
    #[error("`{0}` is not a cell: expected KERNEL/ARCH/USERLAND/ENGINE/GROUP/NAME/MODE")]
    Shape(String),
    /// The pattern is not a valid glob.
    #[error("pattern `{pattern}`: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The error of the glob parser.
        #[source]
        source: globset::Error,
    },
}

/// The identity of one cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cell {
    /// The kernel's label: its series (`6.12`, or a variant such as `6.12-16k`), `host`, or the
    /// release of a kernel supplied by the user.
    pub kernel: String,
    /// The architecture: `x86_64`, `aarch64`, `powerpc64le`.
    pub arch: String,
    /// The build of the corpus.
    pub userland: Userland,
    /// The engine's name.
    pub engine: String,
    /// `group/name`.
    pub workload: String,
    /// The order of checkpoints and restarts.
    pub mode: Mode,
}

impl Cell {
    /// The part of the workload's name before the slash.
    pub fn group(&self) -> &str {
        group_of(&self.workload)
    }

    /// The text form without slashes, for use as a directory name.
    pub fn slug(&self) -> String {
        self.to_string().replace('/', "_")
    }
}

/// The group of a workload: the part of its name before the slash.
pub fn group_of(workload: &str) -> &str {
    workload.split_once('/').map_or(workload, |(group, _)| group)
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { kernel, arch, userland, engine, workload, mode } = self;
        f.pad(&format!("{kernel}/{arch}/{userland}/{engine}/{workload}/{mode}"))
    }
}

impl FromStr for Cell {
    type Err = CellError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let &[kernel, arch, userland, engine, group, name, mode] = parts.as_slice() else {
            return Err(CellError::Shape(text.to_owned()));
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(CellError::Shape(text.to_owned()));
        }
        Ok(Cell {
            kernel: kernel.to_owned(),
            arch: arch.to_owned(),
            userland: userland.parse()?,
            engine: engine.to_owned(),
            workload: format!("{group}/{name}"),
            mode: mode.parse()?,
        })
    }
}

/// A selection of workloads by globs. An empty list selects everything; a glob without `/` selects
/// a whole group.
#[derive(Debug, Clone)]
pub struct Selection {
    globs: Option<GlobSet>,
    patterns: Vec<String>,
}

impl Selection {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// [`CellError::Pattern`] for the first pattern that is not a valid glob.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, CellError> {
        if patterns.is_empty() {
            return Ok(Selection { globs: None, patterns: Vec::new() });
        }
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(workload_glob(pattern.as_ref())?);
        }
        let globs = set
            .build()
            .map_err(|source| CellError::Pattern { pattern: patterns[0].as_ref().to_owned(), source })?;
        let patterns = patterns.iter().map(|pattern| pattern.as_ref().to_owned()).collect();
        Ok(Selection { globs: Some(globs), patterns })
    }

    /// The patterns that match none of these workloads.
    pub fn idle<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<&str> {
        let Some(globs) = &self.globs else { return Vec::new() };
        let used: BTreeSet<usize> = names.flat_map(|name| globs.matches(name)).collect();
        let idle = self.patterns.iter().enumerate().filter(|(index, _)| !used.contains(index));
        idle.map(|(_, pattern)| pattern.as_str()).collect()
    }

    /// Whether the workload of this name is selected.
    pub fn chooses(&self, workload: &str) -> bool {
        self.globs.as_ref().is_none_or(|set| set.is_match(workload))
    }
}

/// A glob over workload names: `pipes`, `pipes/*`, `*/zombie*`, `**`.
///
/// # Errors
/// [`CellError::Pattern`].
pub fn workload_glob(pattern: &str) -> Result<Glob, CellError> {
    let whole =
        if pattern.contains('/') || pattern == "**" { pattern.to_owned() } else { format!("{pattern}/*") };
    Glob::new(&whole).map_err(|source| CellError::Pattern { pattern: pattern.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("6.12/x86_64/dynamic/cairn/pipes/bytes-in-flight/once", true)]
    #[case("host/x86_64/static/cairn/fp/avx/continue", true)]
    #[case("host/x86_64/static/cairn/fp/avx/script", true)]
    #[case("host/x86_64/static/cairn/fp/continue", false)]
    #[case("host/x86_64/musl/cairn/fp/avx/once", false)]
    #[case("host/x86_64/static/cairn/fp/avx/thrice", false)]
    #[case("/x86_64/static/cairn/fp/avx/once", false)]
    fn text_form(#[case] text: &str, #[case] good: bool) {
        let parsed = text.parse::<Cell>();
        assert_eq!(parsed.is_ok(), good, "{parsed:?}");
        if let Ok(cell) = parsed {
            assert_eq!(cell.to_string(), text);
        }
    }

    #[test]
    fn an_unknown_mode_names_the_known_ones() {
        let error = "thrice".parse::<Mode>().unwrap_err().to_string();
        assert_eq!(error, "unknown mode `thrice` (known: once, twice, continue, job, script, killed)");
    }

    #[rstest]
    #[case(&[], "pipes/full", true)]
    #[case(&["pipes"], "pipes/full", true)]
    #[case(&["pipes"], "files/full", false)]
    #[case(&["*/full"], "files/full", true)]
    #[case(&["pipes/f*", "fp/*"], "fp/avx", true)]
    #[case(&["pipes/f*"], "pipes/empty", false)]
    #[case(&["**"], "pipes/empty", true)]
    fn selection(#[case] patterns: &[&str], #[case] workload: &str, #[case] chosen: bool) {
        assert_eq!(Selection::new(patterns).unwrap().chooses(workload), chosen);
    }

    #[test]
    fn a_pattern_that_chooses_nothing_is_named() {
        let selection = Selection::new(&["pipes", "nope", "fp/a*"]).unwrap();
        assert_eq!(selection.idle(["pipes/full", "fp/avx"].into_iter()), ["nope"]);
        assert_eq!(selection.idle([].into_iter()), ["pipes", "nope", "fp/a*"]);
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Selection::new(&["pipes/[x"]).unwrap_err().to_string();
        assert!(error.starts_with("pattern `pipes/[x`"), "{error}");
    }

    proptest! {
        #[test]
        fn text_form_round_trips(kernel in "[a-z0-9.+-]{1,12}", name in "[a-z0-9-]{1,12}", group in "[a-z]{1,8}") {
            let cell = Cell {
                kernel, arch: "x86_64".into(), userland: Userland::Static, engine: "cairn".into(),
                workload: format!("{group}/{name}"), mode: Mode::Twice,
            };
            prop_assert_eq!(cell.to_string().parse::<Cell>().unwrap(), cell);
        }
    }
}
