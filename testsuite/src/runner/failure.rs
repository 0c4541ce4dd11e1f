//! Why a cell did not pass: a verdict, the stage it fell in, one line.

use crate::event::Outcome;
use crate::verdict::{Stage, Verdict};

use super::supervisor::Stop;

/// The end of a cell that went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    pub(super) stage: Option<Stage>,
    pub(super) reason: String,
}

/// What each step of a cell returns.
pub(super) type Step<T> = Result<T, Failure>;

impl Failure {
    /// Something came out wrong.
    pub(super) fn fail(stage: Stage, reason: impl Into<String>) -> Failure {
        Failure { verdict: Verdict::Fail, stage: Some(stage), reason: reason.into() }
    }

    /// The harness could not do its own part.
    pub(super) fn infra(stage: Stage, reason: impl Into<String>) -> Failure {
        Failure { verdict: Verdict::Infra, stage: Some(stage), reason: reason.into() }
    }

    /// There is nothing to test here.
    pub(super) fn skip(reason: impl Into<String>) -> Failure {
        Failure { verdict: Verdict::Skip, stage: None, reason: reason.into() }
    }

    /// A wait for `what` that was given up.
    pub(super) fn stopped(stage: Stage, what: &str, stop: Stop) -> Failure {
        match stop {
            Stop::Deadline => Failure {
                verdict: Verdict::Timeout,
                stage: Some(stage),
                reason: format!("timed out waiting for {what}"),
            },
            other => Failure::infra(stage, format!("waiting for {what}: {other}")),
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        Outcome::new(self.verdict, self.stage, self.reason)
    }
}
