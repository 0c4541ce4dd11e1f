//! What runner and host say to each other: one job downwards, JSON lines upwards.
//!
//! Every line carries the protocol's version in `v`; the two programs come out of one build, so
//! another version means that something stale travelled into the guest, and is an error.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cell::{Mode, Userland};
use crate::verdict::{Stage, Verdict};

/// Version of both formats on this page.
pub const PROTOCOL: u32 = 2;

/// What a runner is to do, as it reads it from its job file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// [`PROTOCOL`].
    pub v: u32,
    /// Cells to run, in this order.
    pub cells: Vec<CellSpec>,
    /// How many at once; 0 means one for each processor.
    pub jobs: usize,
    /// Factor on every time limit: 1 on real hardware, more under emulation.
    pub time_scale: f64,
    /// Time limit of one cell in milliseconds, before scaling.
    pub cell_timeout_ms: u64,
    /// Directory that the runner makes its own directories in.
    pub workdir: PathBuf,
    /// Leave the cells' directories behind.
    pub keep: bool,
    /// Given to every workload as `--seed`.
    pub seed: u64,
    /// The corpus program of each userland.
    pub workloads: BTreeMap<Userland, PathBuf>,
    /// The program of each engine.
    pub engines: BTreeMap<String, PathBuf>,
    /// Programs, the corpus in mode once among them, are loaded at the same addresses every time:
    /// an emulator translates their code once instead of once for every process, which makes cells
    /// several times faster.
    pub fixed_addresses: bool,
    /// Environment added for the engine alone.
    pub engine_env: BTreeMap<String, String>,
    /// Stop after the first red cell.
    pub fail_fast: bool,
    /// Files larger than this (bytes) are named, not sent.
    pub artifact_limit: u64,
}

/// One cell as the runner needs it; kernel and arch are where the runner finds itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellSpec {
    /// The host's number for this cell.
    pub id: u32,
    /// Which build of the corpus.
    pub userland: Userland,
    /// The engine's name.
    pub engine: String,
    /// `group/name`.
    pub workload: String,
    /// How it is driven.
    pub mode: Mode,
    /// Things run or change while it waits: its memory is left out of the fixpoint.
    pub moving: bool,
}

/// What came of one cell, seen from inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// `pass`, `fail`, `skip`, `timeout`, `splat` or `infra`.
    pub verdict: Verdict,
    /// Where it fell; absent for `pass` and `skip`.
    pub stage: Option<Stage>,
    /// One line; empty for `pass`.
    pub reason: String,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// What the engine measured, one entry for each checkpoint and restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Measured>,
    /// Remarks that change no verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Outcome {
    /// An outcome with neither measurements nor notes.
    pub fn new(verdict: Verdict, stage: Option<Stage>, reason: impl Into<String>) -> Self {
        Outcome {
            verdict,
            stage,
            reason: reason.into(),
            duration_ms: 0,
            measured: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// Figures of one checkpoint or restart, as the engine reported them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Measured {
    /// [`Stage::Checkpoint`] or [`Stage::Restart`].
    pub stage: Stage,
    /// How long the job stood still, in nanoseconds; a restart has none.
    pub pause_ns: Option<u64>,
    /// The whole operation, in nanoseconds.
    pub total_ns: Option<u64>,
    /// Size of the context file in bytes; a restart has none.
    pub bytes: Option<u64>,
}

/// One line from the runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// First of all.
    Hello {
        /// `uname -r`.
        release: String,
        /// `uname -m`.
        machine: String,
        /// Processors that the runner may use.
        cpus: usize,
        /// What each engine answered to `--version`, without those that are refused.
        engines: BTreeMap<String, String>,
    },
    /// An engine is none; no cell is run.
    Refused {
        /// Its name.
        engine: String,
        /// One line that begins with the command that was tried.
        reason: String,
    },
    /// A cell begins.
    Start {
        /// [`CellSpec::id`].
        id: u32,
    },
    /// A file of a red cell, in pieces, before its `end`.
    Artifact {
        /// [`CellSpec::id`].
        id: u32,
        /// The file's name, without directories.
        name: String,
        /// Where in the file this piece belongs, in bytes.
        offset: u64,
        /// The piece, in base64.
        data: String,
    },
    /// A cell is over.
    End {
        /// [`CellSpec::id`].
        id: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// After the last cell, something outside of all cells is not as it was before the first one.
    Left {
        /// `new: PATH`, `gone: mount on PATH` …
        changes: Vec<String>,
    },
    /// The runner has nothing left to do. Without this line a run is not over but dead.
    Done,
}

#[derive(Serialize, Deserialize)]
struct Line {
    v: u32,
    #[serde(flatten)]
    event: Event,
}

/// A line that is no event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// No JSON of this shape.
    #[error("not an event: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another version.
    #[error("runner speaks protocol {0}, this program {PROTOCOL}")]
    Version(u32),
}

impl Event {
    /// The line, without its newline.
    pub fn to_line(&self) -> String {
        let line = Line { v: PROTOCOL, event: self.clone() };
        serde_json::to_string(&line).expect("events hold nothing that JSON cannot say")
    }

    /// Reads one line.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn from_line(text: &str) -> Result<Event, EventError> {
        let line: Line = serde_json::from_str(text)?;
        if line.v != PROTOCOL {
            return Err(EventError::Version(line.v));
        }
        Ok(line.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let end = Event::End {
            id: 7,
            outcome: Outcome::new(Verdict::Fail, Some(Stage::Verify), "byte 3: 1 ≠ 2"),
        };
        insta::assert_snapshot!(end.to_line(), @r#"{"v":2,"event":"end","id":7,"outcome":{"verdict":"fail","stage":"verify","reason":"byte 3: 1 ≠ 2","duration_ms":0}}"#);
        assert_eq!(Event::from_line(&end.to_line()).unwrap(), end);
        insta::assert_snapshot!(Event::Done.to_line(), @r#"{"v":2,"event":"done"}"#);
    }

    #[test]
    fn another_version_is_refused() {
        let error = Event::from_line(r#"{"v":1,"event":"done"}"#).unwrap_err();
        assert_eq!(error.to_string(), "runner speaks protocol 1, this program 2");
        assert!(matches!(Event::from_line("{"), Err(EventError::Shape(_))));
    }
}
