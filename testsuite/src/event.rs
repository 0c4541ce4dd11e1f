//! The protocol between runner and host: one job downwards, JSON lines upwards.
//!
//! Every line carries the protocol version in `v`; both programs come from one build, so another
//! version means that a stale program was packed into the guest, and is an error.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cell::{Mode, Userland};
use crate::verdict::{Stage, Verdict};

/// Version of the job and event formats.
pub const PROTOCOL: u32 = 2;

/// A runner's job, as read from its job file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Equal to [`PROTOCOL`].
    pub v: u32,
    /// Cells to run, in this order.
    pub cells: Vec<CellSpec>,
    /// Number of cells run concurrently; 0 means one per processor.
    pub jobs: usize,
    /// Factor on every time limit: 1 on real hardware, more under emulation.
    pub time_scale: f64,
    /// Time limit of one cell in milliseconds, before scaling.
    pub cell_timeout_ms: u64,
    /// Directory in which the runner creates its own directories.
    pub workdir: PathBuf,
    /// Keep the cells' directories.
    pub keep: bool,
    /// Passed to every workload as `--seed`.
    pub seed: u64,
    /// The corpus program of each userland.
    pub workloads: BTreeMap<Userland, PathBuf>,
    /// The program of each engine.
    pub engines: BTreeMap<String, PathBuf>,
    /// Load programs, including the corpus in mode once, at the same addresses every time: an
    /// emulator then translates their code once instead of once per process, which makes cells
    /// several times faster.
    pub fixed_addresses: bool,
    /// Additional environment of the engine only.
    pub engine_env: BTreeMap<String, String>,
    /// Stop after the first red cell.
    pub fail_fast: bool,
    /// Files larger than this (bytes) are listed, not sent.
    pub artifact_limit: u64,
}

/// One cell as the runner needs it; kernel and arch are those the runner runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellSpec {
    /// The host's number for this cell.
    pub id: u32,
    /// The build of the corpus.
    pub userland: Userland,
    /// The engine's name.
    pub engine: String,
    /// `group/name`.
    pub workload: String,
    /// Order of checkpoints and restarts.
    pub mode: Mode,
    /// Processes run or state changes while it waits: its memory is left out of the fixpoint.
    pub active: bool,
}

/// Result of one cell as seen by the runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellOutcome {
    /// `pass`, `fail`, `skip`, `timeout`, `splat` or `infra`.
    pub verdict: Verdict,
    /// The stage that failed; absent for `pass` and `skip`.
    pub stage: Option<Stage>,
    /// One-line explanation; empty for `pass`.
    pub reason: String,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// The engine's measurements, one entry for each checkpoint and restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Measured>,
    /// Remarks that do not affect the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl CellOutcome {
    /// An outcome with neither measurements nor notes.
    pub fn new(verdict: Verdict, stage: Option<Stage>, reason: impl Into<String>) -> Self {
        CellOutcome {
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
    /// How long the job was frozen, in nanoseconds; null for a restart.
    pub pause_ns: Option<u64>,
    /// Duration of the whole operation, in nanoseconds.
    pub total_ns: Option<u64>,
    /// Size of the context file in bytes; null for a restart.
    pub bytes: Option<u64>,
}

/// One line of the runner's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first event.
    Hello {
        /// `uname -r`.
        release: String,
        /// `uname -m`.
        machine: String,
        /// Number of processors available to the runner.
        cpus: usize,
        /// Output of `--version` by engine, without refused engines.
        engines: BTreeMap<String, String>,
    },
    /// An engine's program failed its probe; no cell is run.
    Refused {
        /// The engine's name.
        engine: String,
        /// One-line explanation that begins with the command that was tried.
        reason: String,
    },
    /// A cell starts.
    Start {
        /// [`CellSpec::id`].
        id: u32,
    },
    /// A piece of a file of a red cell, sent before its `end`.
    Artifact {
        /// [`CellSpec::id`].
        id: u32,
        /// The file's name, without directories.
        name: String,
        /// Offset of this piece in the file, in bytes.
        offset: u64,
        /// The piece, base64-encoded.
        data: String,
    },
    /// A cell has ended.
    End {
        /// [`CellSpec::id`].
        id: u32,
        /// The cell's result.
        outcome: CellOutcome,
    },
    /// After the last cell, the state outside of all cells differs from that before the first one.
    Left {
        /// `new: PATH`, `gone: mount on PATH` …
        changes: Vec<String>,
    },
    /// The runner has finished. Without this line the run is considered to have died.
    Done,
}

#[derive(Serialize, Deserialize)]
struct Line {
    v: u32,
    #[serde(flatten)]
    event: Event,
}

/// Why a line is not a valid event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not JSON of the expected shape.
    #[error("not an event: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another protocol version.
    #[error("runner uses protocol {0}, this program {PROTOCOL}")]
    Version(u32),
}

impl Event {
    /// Serializes the event as a line, without the newline.
    pub fn to_line(&self) -> String {
        let line = Line { v: PROTOCOL, event: self.clone() };
        serde_json::to_string(&line).expect("events can be serialized")
    }

    /// Parses one line.
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
            outcome: CellOutcome::new(Verdict::Fail, Some(Stage::Verify), "byte 3: 1 ≠ 2"),
        };
        insta::assert_snapshot!(end.to_line(), @r#"{"v":2,"event":"end","id":7,"outcome":{"verdict":"fail","stage":"verify","reason":"byte 3: 1 ≠ 2","duration_ms":0}}"#);
        assert_eq!(Event::from_line(&end.to_line()).unwrap(), end);
        insta::assert_snapshot!(Event::Done.to_line(), @r#"{"v":2,"event":"done"}"#);
    }

    #[test]
    fn another_version_is_refused() {
        let error = Event::from_line(r#"{"v":1,"event":"done"}"#).unwrap_err();
        assert_eq!(error.to_string(), "runner uses protocol 1, this program 2");
        assert!(matches!(Event::from_line("{"), Err(EventError::Shape(_))));
    }
}
