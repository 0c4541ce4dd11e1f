//! What the corpus program says of itself, and the cells that follow from it.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::cell::{Cell, Mode, Selection, Userland};

/// One entry of `cairn-workloads list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// `group/name`.
    pub name: String,
    /// The first half of the name.
    pub group: String,
    /// One line.
    pub purpose: String,
    /// What it needs from kernel or machine, in the corpus' own words.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Things run or change while it waits.
    #[serde(default)]
    pub moving: bool,
    /// Also part of the statically linked selection.
    #[serde(default, rename = "static")]
    pub statik: bool,
}

/// A corpus program that does not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// It does not start.
    #[error("start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ends with an error.
    #[error("{program} list --json: {status}: {stderr}")]
    Failed {
        /// The program.
        program: String,
        /// Its end.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// Its answer is no list of workloads.
    #[error("{program} list --json: {source}")]
    Answer {
        /// The program.
        program: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Asks the corpus program for its workloads.
///
/// # Errors
/// [`CorpusError`].
pub fn list(program: &Path) -> Result<Vec<Workload>, CorpusError> {
    let name = program.display().to_string();
    let output = Command::new(program)
        .args(["list", "--json"])
        .output()
        .map_err(|source| CorpusError::Start { program: name.clone(), source })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(CorpusError::Failed { program: name, status: output.status, stderr });
    }
    serde_json::from_slice(&output.stdout).map_err(|source| CorpusError::Answer { program: name, source })
}

/// Where and with what the corpus is to run.
#[derive(Debug, Clone)]
pub struct Axes {
    /// The kernel's label.
    pub kernel: String,
    /// The architecture.
    pub arch: String,
    /// Builds of the corpus that exist.
    pub userlands: Vec<Userland>,
    /// Engines by name.
    pub engines: Vec<String>,
    /// Modes.
    pub modes: Vec<Mode>,
}

/// Every cell of one kernel, grouped by workload in the corpus' order. The static build runs the
/// workloads that say so.
pub fn cells(corpus: &[Workload], selection: &Selection, axes: &Axes) -> Vec<Cell> {
    let mut cells = Vec::new();
    for workload in corpus.iter().filter(|w| selection.chooses(&w.name)) {
        for &userland in axes.userlands.iter().filter(|&&u| u == Userland::Dynamic || workload.statik) {
            for engine in &axes.engines {
                for &mode in &axes.modes {
                    cells.push(Cell {
                        kernel: axes.kernel.clone(),
                        arch: axes.arch.clone(),
                        userland,
                        engine: engine.clone(),
                        workload: workload.name.clone(),
                        mode,
                    });
                }
            }
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Vec<Workload> {
        serde_json::from_str(
            r#"[{"name":"fp/avx","group":"fp","purpose":"p","needs":["avx"],"moving":false,"static":true},
                {"name":"pipes/full","group":"pipes","purpose":"p"}]"#,
        )
        .unwrap()
    }

    #[test]
    fn static_runs_only_what_asks_for_it() {
        let axes = Axes {
            kernel: "6.12".into(),
            arch: "x86_64".into(),
            userlands: vec![Userland::Dynamic, Userland::Static],
            engines: vec!["cairn".into()],
            modes: vec![Mode::Once, Mode::Continue],
        };
        let all = cells(&corpus(), &Selection::new::<&str>(&[]).unwrap(), &axes);
        let text: Vec<String> = all.iter().map(Cell::to_string).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        6.12/x86_64/dynamic/cairn/fp/avx/once
        6.12/x86_64/dynamic/cairn/fp/avx/continue
        6.12/x86_64/static/cairn/fp/avx/once
        6.12/x86_64/static/cairn/fp/avx/continue
        6.12/x86_64/dynamic/cairn/pipes/full/once
        6.12/x86_64/dynamic/cairn/pipes/full/continue
        ");
        assert_eq!(cells(&corpus(), &Selection::new(&["pipes"]).unwrap(), &axes).len(), 2);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = list(Path::new("/nonexistent/corpus")).unwrap_err().to_string();
        assert!(error.starts_with("start /nonexistent/corpus:"), "{error}");
    }
}
