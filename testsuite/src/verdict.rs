//! The verdicts of a cell, and which of them make a run red.
//!
//! A runner inside a guest only reports what it observed (`pass`, `fail`, `skip`, `timeout`,
//! `splat`, `infra`). The host determines the rest: a guest that dies gives `panic`, `boot` or
//! `missing`, a run that ends early `not-run`, a retry that passes gives `flaky`, and an
//! expectation turns `fail` into `xfail` and `pass` into `xpass`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The result of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The workload verified itself and every oracle passed.
    Pass,
    /// Something was restored incorrectly, or the engine refused or failed.
    Fail,
    /// Failed, as `expectations.toml` predicts.
    Xfail,
    /// Passed although `expectations.toml` predicts a failure.
    Xpass,
    /// Red at first, passed on retry.
    Flaky,
    /// The kernel or machine lacks what the workload needs; the reason names it.
    Skip,
    /// Did not finish within its time limit.
    Timeout,
    /// The guest's kernel panicked while this cell ran.
    Panic,
    /// The kernel log shows a WARN, BUG or Oops, or the kernel got tainted, while this cell ran.
    Splat,
    /// The guest did not boot, so the cell never ran.
    Boot,
    /// The harness itself failed.
    Infra,
    /// The cell was started and never reported a result.
    Missing,
    /// The run ended before the cell's turn.
    #[serde(rename = "not-run")]
    NotRun,
}

impl Verdict {
    /// All verdicts, in the order used by summaries.
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

    /// Whether a run with this verdict exits with a failure.
    ///
    /// `flaky` and `xpass` are reported and do not fail the run: the first exists only if
    /// `--retries` was given, the second means that an expectation can be removed.
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
    /// about the workload and cannot be excused.
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

/// A word that is not a verdict.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown verdict `{0}`")]
pub struct UnknownVerdict(String);

impl FromStr for Verdict {
    type Err = UnknownVerdict;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Verdict::ALL.into_iter().find(|v| v.name() == text).ok_or_else(|| UnknownVerdict(text.to_owned()))
    }
}

/// The stage of a cell that its verdict refers to. It distinguishes "could not be saved" from "was
/// restored incorrectly".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Creating the cell's directory and starting the workload.
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
    /// Checking for files, mounts and processes left behind.
    Leak,
    /// Reading the kernel log.
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
