//! The verdicts a cell can get, and which of them turn a run red.
//!
//! A runner inside a guest only ever says what it saw (`pass`, `fail`, `skip`, `timeout`, `splat`,
//! `infra`). The rest is decided by the host: a guest that dies gives `panic`, `boot` or `missing`,
//! a run that ends early `not-run`, a retry that passes gives `flaky`, and an expectation turns
//! `fail` into `xfail` and `pass` into `xpass`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What became of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The workload verified itself and every oracle agreed.
    Pass,
    /// Something was restored wrongly, or the engine refused or failed.
    Fail,
    /// Failed, and `expectations.toml` says that it would.
    Xfail,
    /// Passed although `expectations.toml` says that it would fail.
    Xpass,
    /// Red at first, passed when it was tried again.
    Flaky,
    /// The kernel or machine lacks what the workload is about; the reason says what.
    Skip,
    /// Did not come to an end within its time.
    Timeout,
    /// The guest's kernel panicked while this cell ran.
    Panic,
    /// The kernel log shows a WARN, BUG or Oops, or the kernel got tainted, while this cell ran.
    Splat,
    /// The guest did not come up, so the cell never ran.
    Boot,
    /// The harness itself failed.
    Infra,
    /// The cell was started and nothing was heard of it again.
    Missing,
    /// The run ended before the cell's turn.
    #[serde(rename = "not-run")]
    NotRun,
}

impl Verdict {
    /// Every verdict, in the order in which summaries name them.
    pub const ALL: [Verdict; 13] = [
        Verdict::Pass,
        Verdict::Fail,
        Verdict::Timeout,
        Verdict::Panic,
        Verdict::Splat,
        Verdict::Boot,
        Verdict::Infra,
        Verdict::Missing,
        Verdict::NotRun,
        Verdict::Flaky,
        Verdict::Xfail,
        Verdict::Xpass,
        Verdict::Skip,
    ];

    /// Whether a run with this verdict in it ends with a failing exit code.
    ///
    /// `flaky` and `xpass` are reported and do not fail the run: the first only exists when
    /// `--retries` asked for it, the second means that an expectation can go.
    pub fn is_red(self) -> bool {
        match self {
            Verdict::Fail
            | Verdict::Timeout
            | Verdict::Panic
            | Verdict::Splat
            | Verdict::Boot
            | Verdict::Infra
            | Verdict::Missing
            | Verdict::NotRun => true,
            Verdict::Pass | Verdict::Xfail | Verdict::Xpass | Verdict::Flaky | Verdict::Skip => false,
        }
    }

    /// Whether an expectation may excuse it. `boot`, `infra`, `missing` and `not-run` say nothing
    /// about the workload, so none may.
    pub fn is_excusable(self) -> bool {
        matches!(self, Verdict::Fail | Verdict::Timeout | Verdict::Panic | Verdict::Splat)
    }

    /// The word used in every report.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Xfail => "xfail",
            Verdict::Xpass => "xpass",
            Verdict::Flaky => "flaky",
            Verdict::Skip => "skip",
            Verdict::Timeout => "timeout",
            Verdict::Panic => "panic",
            Verdict::Splat => "splat",
            Verdict::Boot => "boot",
            Verdict::Infra => "infra",
            Verdict::Missing => "missing",
            Verdict::NotRun => "not-run",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is no verdict.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown verdict `{0}`")]
pub struct UnknownVerdict(String);

impl FromStr for Verdict {
    type Err = UnknownVerdict;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Verdict::ALL.into_iter().find(|v| v.name() == text).ok_or_else(|| UnknownVerdict(text.to_owned()))
    }
}

/// The part of a cell's life in which its verdict fell. It tells "could not be saved" from "came
/// back wrong".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Making the cell's directory and starting the workload.
    Start,
    /// The workload building its state, up to its `ready`.
    Ready,
    /// A checkpoint.
    Checkpoint,
    /// A restart.
    Restart,
    /// Comparing the records of two checkpoints.
    Fixpoint,
    /// The workload verifying itself.
    Verify,
    /// Looking for what was left behind.
    Leak,
    /// Looking at the kernel log.
    Log,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Start => "start",
            Stage::Ready => "ready",
            Stage::Checkpoint => "checkpoint",
            Stage::Restart => "restart",
            Stage::Fixpoint => "fixpoint",
            Stage::Verify => "verify",
            Stage::Leak => "leak",
            Stage::Log => "log",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_serialised_form_and_parse_back() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_string(&verdict).unwrap(), format!("\"{verdict}\""));
            assert_eq!(verdict.name().parse::<Verdict>().unwrap(), verdict);
        }
        assert_eq!("green".parse::<Verdict>().unwrap_err().to_string(), "unknown verdict `green`");
    }

    #[test]
    fn only_red_verdicts_can_be_excused() {
        for verdict in Verdict::ALL {
            assert!(!verdict.is_excusable() || verdict.is_red(), "{verdict}");
        }
    }
}
