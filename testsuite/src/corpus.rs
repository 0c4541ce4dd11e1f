//! The list of workloads that the corpus program prints, and the cells derived from it.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::cell::{Cell, Mode, Selection, Userland};

/// One entry of `cairn-workloads list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// `group/name`.
    pub name: String,
    /// The part of the name before the slash.
    pub group: String,
    /// One-line description.
    pub purpose: String,
    /// Requirements on kernel or machine, as the corpus names them.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Processes run or state changes while the workload waits.
    #[serde(default)]
    pub active: bool,
    /// Also included in the statically linked build.
    #[serde(default, rename = "static")]
    pub statik: bool,
}

/// Why the list of workloads cannot be obtained.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The program cannot be started.
    #[error("start {program}: {source}")]
    Start {
        /// Path of the program.
        program: String,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
    /// The program exits with an error.
    #[error("{program} list --json: {status}: {stderr}")]
    Failed {
        /// Path of the program.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// Its standard error.
        stderr: String,
    },
    /// The output is not a list of workloads.
    #[error("{program} list --json: {source}")]
    Answer {
        /// Path of the program.
        program: String,
        /// The parse error.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads the list of workloads from the corpus program.
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

/// The dimensions of a run other than the workload.
#[derive(Debug, Clone)]
pub struct Axes {
    /// The kernel's label.
    pub kernel: String,
    /// The architecture.
    pub arch: String,
    /// Available builds of the corpus.
    pub userlands: Vec<Userland>,
    /// Engines by name.
    pub engines: Vec<String>,
    /// The modes to run.
    pub modes: Vec<Mode>,
    /// Whether a distribution is installed there, and not the corpus alone.
    pub installed: bool,
}

/// What a workload needs that runs programs of a distribution.
const INSTALLED: &str = "installed";

/// All cells of one kernel, grouped by workload in the order of the corpus. The static build runs
/// only the workloads marked for it, and programs of a distribution only where there is one.
pub fn cells(corpus: &[Workload], selection: &Selection, axes: &Axes) -> Vec<Cell> {
    let mut cells = Vec::new();
    let can_run = |w: &&Workload| axes.installed || !w.needs.iter().any(|need| need == INSTALLED);
    for workload in corpus.iter().filter(|w| selection.chooses(&w.name)).filter(can_run) {
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
            r#"[{"name":"fp/avx","group":"fp","purpose":"p","needs":["avx"],"active":false,"static":true},
                {"name":"pipes/full","group":"pipes","purpose":"p"},
                {"name":"apps/redis","group":"apps","purpose":"p","needs":["installed"]}]"#,
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
            installed: false,
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
        let host = Axes { installed: true, ..axes };
        assert_eq!(cells(&corpus(), &Selection::new(&["apps"]).unwrap(), &host).len(), 2);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = list(Path::new("/nonexistent/corpus")).unwrap_err().to_string();
        assert!(error.starts_with("start /nonexistent/corpus:"), "{error}");
    }
}
