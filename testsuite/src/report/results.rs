//! `results.json`: the whole of a run as data. Every other report is a rendering of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::event::Measured;
use crate::verdict::{Stage, Verdict};

/// Version of the file's shape. Readers refuse another one.
pub const VERSION: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// [`VERSION`].
    pub version: u32,
    /// The run as such.
    pub run: RunInfo,
    /// One entry for each kernel, in the order of the run.
    pub kernels: Vec<KernelInfo>,
    /// One entry for each cell, in the order of the corpus.
    pub cells: Vec<CellResult>,
}

/// When, where and how a run was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunInfo {
    /// Name of the run's directory.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub wall_ms: u64,
    /// The commit of the tree it was made from, with `+` when the tree had changes.
    pub revision: Option<String>,
    /// `uname -r` of the host.
    pub host_release: String,
    /// Processors of the host.
    pub host_cpus: usize,
    /// The seed that every workload got.
    pub seed: u64,
    /// The command line after `cargo xtask`.
    pub command: Vec<String>,
    /// It was stopped before its end; cells without a verdict are left out.
    pub interrupted: bool,
}

/// One kernel of a run: which one exactly, and how it was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KernelInfo {
    /// What cells call it.
    pub label: String,
    /// The architecture, as cells name it.
    pub arch: String,
    /// `uname -r` as the kernel itself says; empty if it never came up.
    pub release: String,
    /// Package and version it came from; empty for `host` and bare images.
    pub package: String,
    /// The suite that the package was found in.
    pub suite: Option<String>,
    /// SHA-256 of what was fetched, as the archive signs it.
    pub sha256: Option<String>,
    /// `kvm`, `tcg` or `host`.
    pub accel: String,
    /// What each engine said to `--version` there.
    pub engines: BTreeMap<String, String>,
    /// Engines that were asked for and could not run there, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<String, String>,
    /// What the module was put to there, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleReport>,
    /// What it complained of while no cell ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<String>,
    /// How often it was booted.
    pub boots: u32,
    /// Time from start to end of all its guests, in milliseconds.
    pub wall_ms: u64,
}

/// What the kernel module was put to on a kernel, apart from the corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleReport {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// Figures and remarks.
    pub notes: Vec<String>,
}

/// Something that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// Why it is not as it should be; nothing when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl ModuleReport {
    /// Takes in a line of the program that makes the checks: `ok NAME`, `FAIL NAME: why`, or a remark.
    pub fn hear(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("ok ") {
            self.checks.push(Check { name: name.to_owned(), failure: None });
        } else if let Some(rest) = line.strip_prefix("FAIL ") {
            let (name, why) = rest.split_once(": ").unwrap_or((rest, "no reason is given"));
            self.complain(name, why);
        } else {
            self.notes.push(line.trim_start_matches("# ").to_owned());
        }
    }

    /// Adds what is not as it should be.
    pub fn complain(&mut self, name: &str, why: &str) {
        self.checks.push(Check { name: name.to_owned(), failure: Some(why.to_owned()) });
    }

    /// What is not as it should be.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.checks.iter().filter_map(|check| Some((check.name.as_str(), check.failure.as_deref()?)))
    }

    /// `58 ok, 0 not`.
    pub fn count(&self) -> String {
        let failed = self.failures().count();
        format!("{} ok, {failed} not", self.checks.len() - failed)
    }
}

/// One cell's verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CellResult {
    /// Which.
    #[serde(flatten)]
    pub cell: Cell,
    /// After retries and expectations.
    pub verdict: Verdict,
    /// Where it fell.
    pub stage: Option<Stage>,
    /// One line.
    pub reason: String,
    /// The last attempt's wall time, in milliseconds.
    pub duration_ms: u64,
    /// How often it was run.
    pub attempts: u32,
    /// The engine's figures of the last attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Measured>,
    /// Remarks that change no verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The bundle's directory below the run's, for a red cell and, of the first attempt, for a flaky one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// The command that runs this cell again.
    pub repro: String,
}

/// A file of results that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// Cannot be read or written.
    #[error("{what} {path}: {source}")]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No such JSON.
    #[error("parse {path}: {source}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Another version.
    #[error("{path} has version {found}, this program reads {VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

impl KernelInfo {
    /// What sets it apart from every other kernel of a run: `6.12/aarch64`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.label, self.arch)
    }
}

/// A column of the matrix: an engine on a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column<'a> {
    /// The architecture.
    pub arch: &'a str,
    /// The kernel's label.
    pub kernel: &'a str,
    /// The engine's name.
    pub engine: &'a str,
}

impl<'a> Column<'a> {
    /// Where a cell belongs.
    pub fn of(cell: &'a Cell) -> Self {
        Column { arch: &cell.arch, kernel: &cell.kernel, engine: &cell.engine }
    }
}

impl Results {
    /// The engines that were judged, or asked for.
    pub fn engines(&self) -> BTreeSet<&str> {
        let absent = self.kernels.iter().flat_map(|kernel| kernel.absent.keys());
        self.cells.iter().map(|cell| &cell.cell.engine).chain(absent).map(String::as_str).collect()
    }

    /// The columns of the matrix: for each kernel the engines.
    pub fn columns(&self) -> Vec<Column<'_>> {
        let engines = self.engines();
        self.kernels
            .iter()
            .flat_map(|kernel| {
                engines.iter().map(|engine| Column { arch: &kernel.arch, kernel: &kernel.label, engine })
            })
            .collect()
    }

    /// Whether it ran on more than one architecture.
    pub fn is_mixed(&self) -> bool {
        self.kernels.windows(2).any(|two| two[0].arch != two[1].arch)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn load(path: &Path) -> Result<Results, ResultsError> {
        let path = path.to_owned();
        let text = fs::read(&path).map_err(|source| ResultsError::Io {
            what: "read",
            path: path.clone(),
            source,
        })?;
        let shape = |source| ResultsError::Shape { path: path.clone(), source };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(shape)?;
        let found = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if found != u64::from(VERSION) {
            return Err(ResultsError::Version { path, found });
        }
        serde_json::from_value(value).map_err(shape)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn save(&self, path: &Path) -> Result<(), ResultsError> {
        let path = path.to_owned();
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| ResultsError::Shape { path: path.clone(), source })?;
        fs::write(&path, text + "\n").map_err(|source| ResultsError::Io { what: "write", path, source })
    }

    /// How many cells have each verdict; verdicts that nothing has are left out.
    pub fn counts(&self) -> BTreeMap<Verdict, usize> {
        let mut counts = BTreeMap::new();
        for cell in &self.cells {
            *counts.entry(cell.verdict).or_insert(0) += 1;
        }
        counts
    }

    /// The cells that make the run red, in order.
    pub fn red(&self) -> impl Iterator<Item = &CellResult> {
        self.cells.iter().filter(|cell| cell.verdict.is_red())
    }

    /// Whether the run may end with 0: it came to its end, ran something, and nothing is red.
    pub fn is_green(&self) -> bool {
        let module_fails =
            |kernel: &KernelInfo| kernel.module.iter().any(|module| module.failures().next().is_some());
        !self.run.interrupted
            && !self.cells.is_empty()
            && self.red().next().is_none()
            && !self.kernels.iter().any(|kernel| module_fails(kernel) || !kernel.complaints.is_empty())
    }

    /// What each cell took, by its text form, for the next run's balance.
    pub fn durations(&self) -> BTreeMap<String, u64> {
        self.cells.iter().map(|cell| (cell.cell.to_string(), cell.duration_ms)).collect()
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! A small run with one of each kind, for the snapshots of every report.

    use super::*;
    use crate::cell::{Mode, Userland};

    fn cell(kernel: &str, workload: &str, mode: Mode, verdict: Verdict, reason: &str) -> CellResult {
        let cell = Cell {
            kernel: kernel.into(),
            arch: "x86_64".into(),
            userland: Userland::Dynamic,
            engine: "cairn".into(),
            workload: workload.into(),
            mode,
        };
        CellResult {
            repro: format!("cargo xtask repro {cell}"),
            bundle: verdict.is_red().then(|| format!("red/{}", cell.slug())),
            cell,
            verdict,
            stage: verdict.is_red().then_some(Stage::Verify),
            reason: reason.into(),
            duration_ms: 120,
            attempts: if verdict == Verdict::Flaky { 2 } else { 1 },
            measured: vec![Measured {
                stage: Stage::Checkpoint,
                pause_ns: Some(1_500_000),
                total_ns: Some(4_000_000),
                bytes: Some(65_536),
            }],
            notes: Vec::new(),
        }
    }

    pub(crate) fn run() -> Results {
        let kernel = |label: &str, release: &str| KernelInfo {
            label: label.into(),
            arch: "x86_64".into(),
            release: release.into(),
            package: format!("linux-image-{release}"),
            suite: Some("bullseye".into()),
            sha256: Some("00ff".into()),
            accel: "tcg".into(),
            engines: BTreeMap::from([("cairn".into(), "cairn 0.1.0".into())]),
            absent: BTreeMap::new(),
            module: None,
            complaints: Vec::new(),
            boots: 1,
            wall_ms: 61_000,
        };
        Results {
            version: VERSION,
            run: RunInfo {
                id: "20260102-030405".into(),
                started: "2026-01-02T03:04:05Z".parse().unwrap(),
                wall_ms: 125_000,
                revision: Some("0123456789ab".into()),
                host_release: "6.18.0".into(),
                host_cpus: 2,
                seed: 1,
                command: vec!["test".into(), "--kernel".into(), "5.10".into()],
                interrupted: false,
            },
            kernels: vec![kernel("5.10", "5.10.0-39-cloud-amd64"), kernel("7.3", "7.3.1+deb14-cloud-amd64")],
            cells: vec![
                cell("5.10", "fp/avx", Mode::Once, Verdict::Pass, ""),
                cell("5.10", "memory/guard", Mode::Once, Verdict::Skip, "needs MADV_GUARD_INSTALL"),
                cell(
                    "5.10",
                    "pipes/full",
                    Mode::Once,
                    Verdict::Xfail,
                    "one byte lost; expected: known <loss>",
                ),
                cell("5.10", "pipes/full", Mode::Twice, Verdict::Flaky, "first: byte 3"),
                cell("7.3", "fp/avx", Mode::Once, Verdict::Fail, "ymm3: 0 & not <7>"),
                cell("7.3", "memory/guard", Mode::Once, Verdict::Panic, "Kernel panic - not syncing"),
                cell("7.3", "pipes/full", Mode::Once, Verdict::Xpass, "expected to fail: known <loss>"),
            ],
        }
    }

    /// The same, with what the module was put to on both kernels.
    pub(crate) fn with_module() -> Results {
        let mut run = run();
        for (kernel, lines) in run.kernels.iter_mut().zip([
            &[
                "ok loads",
                "ok a forged file asks for root's ids",
                "# seed 1: 400 requests, 40 granted",
                "ok fuzz",
            ][..],
            &["ok loads", "FAIL fuzz: EIO, which is <not> documented"],
        ]) {
            let module = kernel.module.get_or_insert_default();
            lines.iter().for_each(|line| module.hear(line));
        }
        run
    }

    /// The same cells, with the second kernel's on another architecture and a kernel of the same name.
    pub(crate) fn mixed() -> Results {
        let mut run = run();
        let second = std::mem::replace(&mut run.kernels[1].label, "5.10".into());
        run.kernels[1].arch = "aarch64".into();
        for cell in run.cells.iter_mut().map(|cell| &mut cell.cell).filter(|cell| cell.kernel == second) {
            cell.kernel = "5.10".into();
            cell.arch = "aarch64".into();
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_round_trips_and_knows_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        let run = sample::run();
        run.save(&path).unwrap();
        let back = Results::load(&path).unwrap();
        assert_eq!(serde_json::to_value(&back).unwrap(), serde_json::to_value(&run).unwrap());
        let text = fs::read_to_string(&path).unwrap().replace("\"version\": 1", "\"version\": 9");
        fs::write(&path, text).unwrap();
        assert!(matches!(Results::load(&path), Err(ResultsError::Version { found: 9, .. })));
    }

    #[test]
    fn lines_are_told_by_how_they_begin() {
        let mut module = ModuleReport::default();
        for line in
            ["ok loads", "# seed 1: 400 requests", "FAIL fuzz: EIO: not documented", "oklahoma", "FAIL"]
        {
            module.hear(line);
        }
        module.complain("the kernel", "WARNING");
        let failures: Vec<_> = module.failures().collect();
        assert_eq!(failures, [("fuzz", "EIO: not documented"), ("the kernel", "WARNING")]);
        assert_eq!((module.count().as_str(), module.notes.len()), ("1 ok, 2 not", 3));
    }

    #[test]
    fn green_needs_cells_and_an_end() {
        let mut run = sample::run();
        assert!(!run.is_green());
        run.cells.retain(|cell| !cell.verdict.is_red());
        assert!(run.is_green());
        run.run.interrupted = true;
        assert!(!run.is_green());
        run.run.interrupted = false;
        let mut module = ModuleReport::default();
        module.hear("ok loads");
        run.kernels[0].module = Some(module.clone());
        assert!(run.is_green());
        module.hear("FAIL unloads: it is in use");
        run.kernels[0].module = Some(module);
        assert!(!run.is_green());
        run.kernels[0].module = None;
        run.kernels[0].complaints.push("unreferenced object 0x1 (size 8)".to_owned());
        assert!(!run.is_green());
        run.kernels[0].complaints.clear();
        run.cells.clear();
        assert!(!run.is_green());
    }
}
