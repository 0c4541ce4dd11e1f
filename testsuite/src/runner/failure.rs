//! Why a cell did not pass: a verdict, the stage that failed, a one-line reason.

use std::fs;
use std::path::Path;

use crate::engine::printed::PrintedError;
use crate::event::CellOutcome;
use crate::verdict::{Stage, Verdict};

use super::proc;
use super::supervisor::{End, Stop};

/// The workload's exit status for "not supported here", before `ready`.
pub(super) const EXIT_SKIP: i32 = 77;

/// The result of a failed cell.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    pub(super) stage: Option<Stage>,
    pub(super) reason: String,
}

/// Result of each step of a cell.
pub(super) type StageResult<T> = Result<T, Failure>;

impl Failure {
    /// An incorrect result.
    pub(super) fn fail(stage: Stage, reason: impl Into<String>) -> Failure {
        Failure { verdict: Verdict::Fail, stage: Some(stage), reason: reason.into() }
    }

    /// The harness itself failed.
    pub(super) fn infra(stage: Stage, reason: impl Into<String>) -> Failure {
        Failure { verdict: Verdict::Infra, stage: Some(stage), reason: reason.into() }
    }

    /// The workload does not apply here.
    pub(super) fn skip(reason: impl Into<String>) -> Failure {
        Failure { verdict: Verdict::Skip, stage: None, reason: reason.into() }
    }

    /// A wait for `what` that was aborted.
    pub(super) fn stopped(stage: Stage, what: &str, stop: Stop) -> Failure {
        match stop {
            Stop::Deadline => Failure {
                verdict: Verdict::Timeout,
                stage: Some(stage),
                reason: format!("timed out waiting for {what}"),
            },
            Stop::Printed(PrintedError::TooMuch { .. }) => Failure::fail(stage, stop.to_string()),
            other => Failure::infra(stage, format!("waiting for {what}: {other}")),
        }
    }

    /// Turns a checkpoint or restart failure into an infrastructure failure if the file system of
    /// `dir` may have been full: that is not the engine's fault.
    pub(super) fn unless_full(self, dir: &Path) -> Failure {
        match self.stage {
            Some(stage @ (Stage::Checkpoint | Stage::Restart)) if is_full(dir) => {
                let Failure { verdict, reason, .. } = self;
                let reason = format!("the file system of {} is full ({verdict}: {reason})", dir.display());
                Failure::infra(stage, reason)
            }
            _ => self,
        }
    }

    /// Puts what it is about in front of the reason.
    pub(super) fn with(self, what: &str) -> Failure {
        Failure { reason: format!("{what}: {}", self.reason), ..self }
    }

    pub(super) fn into_outcome(self) -> CellOutcome {
        CellOutcome::new(self.verdict, self.stage, self.reason)
    }
}

/// Whether less than 1 MiB or 0.1 % of a file system is free.
fn is_full(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|fs| {
        let free = u128::from(fs.f_bavail) * u128::from(fs.f_frsize);
        // A file system without a size limit reports no blocks at all.
        fs.f_blocks > 0 && (free < 1 << 20 || fs.f_bavail < fs.f_blocks / 1000)
    })
}

/// `: ` and the last lines of a program's log joined into one line; empty if the log is.
pub(super) fn words(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(3)..].join(" | ");
    if tail.is_empty() { tail } else { format!(": {}", tail.chars().take(600).collect::<String>()) }
}

pub(super) fn still_there(after: &str, pids: Vec<u32>) -> String {
    let list: Vec<String> = pids.into_iter().map(proc::describe).collect();
    format!("still there after {after}: {}", list.join(", "))
}

/// The failure of a workload that exited before its `ready`.
pub(super) fn self_skip_or_crash(end: End, cwd: &Path) -> Failure {
    let said = words(&cwd.join("stderr"));
    match end {
        End::Exited(EXIT_SKIP) => {
            Failure::skip(said.trim_start_matches(": ").trim_start_matches("skip:").trim().to_owned())
        }
        end => Failure::fail(Stage::Ready, format!("the workload ended before its ready with {end}{said}")),
    }
}
