//! `results.json`: a complete run as data. Every other report is rendered from it. Its schema is
//! `docs/results.schema.json`; every key is always present.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::event::Measured;
use crate::expectations::{Expectation, Expectations};
use crate::partition::{ListDigest, Partition};
use crate::release::Release;
use crate::verdict::{Stage, Verdict};

/// Version of the file format. Readers reject other versions.
pub const VERSION: u32 = 2;

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Results {
    /// Version of the file format.
    pub version: u32,
    /// Parameters and circumstances of the run.
    pub run: RunInfo,
    /// One entry for each kernel, in the order of the run.
    pub kernels: Vec<KernelInfo>,
    /// Kernels that were requested and are not available.
    pub absent: Vec<Absent>,
    /// All entries of `expectations.toml`, and how they applied to the run.
    pub expectations: Vec<Expected>,
    /// One entry for each cell, in the order of the corpus.
    pub cells: Vec<CellResult>,
}

/// When, where and how a run was executed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct RunInfo {
    /// Name of the run's directory.
    pub id: String,
    /// Start time.
    #[cfg_attr(test, schemars(with = "String"))]
    pub started: Timestamp,
    /// Duration in milliseconds.
    pub wall_ms: u64,
    /// The git commit of the tree, with `+` if the tree had local changes; null if unknown.
    pub revision: Option<String>,
    /// The machine that the run was executed on.
    pub host: Host,
    /// The compiler that built the programs.
    pub compiler: String,
    /// The command line after `cargo xtask`.
    pub command: Vec<String>,
    /// The requested kernels, as on the command line.
    pub requested: Vec<String>,
    /// The seed passed to every workload.
    pub seed: u64,
    /// Number of cells run concurrently in one place; 0: one per processor.
    pub jobs: usize,
    /// How often a red cell was retried.
    pub retries: u32,
    /// Factor on every time limit, on top of each kernel's own.
    pub timeout_scale: f64,
    /// SHA-256 of `expectations.toml`; null if there is no such file.
    pub expectations_sha256: Option<String>,
    /// The part of the list that this run covers.
    #[cfg_attr(test, schemars(with = "String"))]
    pub part: Partition,
    /// The list of all requested cells, of which this run may cover a part.
    pub list: ListDigest,
    /// The run was stopped early; cells without a verdict are *not-run*.
    pub interrupted: bool,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Host {
    /// Its host name.
    pub name: String,
    /// `uname -r`.
    pub release: String,
    /// Its architecture.
    pub arch: String,
    /// Number of its processors.
    pub cpus: usize,
}

/// A requested kernel that is not available.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Absent {
    /// Its label.
    pub kernel: String,
    /// The architecture.
    pub arch: String,
    /// The reason.
    pub reason: String,
}

/// How an entry of `expectations.toml` applied to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Expected {
    /// Position in the file, from 1.
    pub entry: usize,
    /// Its workload, kernels and other conditions, as text.
    pub about: String,
    /// Number of cells that it applies to.
    pub cells: usize,
    /// Number of these that failed as described.
    pub met: usize,
    /// Number of these that passed.
    pub passed: usize,
}

impl Expected {
    /// Whether all cells that it applies to passed.
    pub fn is_needless(&self) -> bool {
        self.passed > 0 && self.passed == self.cells
    }
}

/// One kernel of a run: its exact identity, and how it was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct KernelInfo {
    /// The label used in cells.
    pub label: String,
    /// The architecture, as named in cells.
    pub arch: String,
    /// `uname -r` as reported by the kernel; of one that never booted, the expected one.
    pub release: String,
    /// Package and version, or the path given by the user; empty for `host`.
    pub package: String,
    /// The suite of the package archive; null if not from an archive.
    pub suite: Option<String>,
    /// SHA-256 of the download, as signed by the archive, or of the image given by the user.
    pub sha256: Option<String>,
    /// `kvm`, `tcg` or `host`.
    pub accel: String,
    /// Why KVM is not used; null if it is.
    pub no_kvm: Option<String>,
    /// Output of `qemu --version`; null if QEMU is not used.
    pub qemu: Option<String>,
    /// Factor on every time limit for this kernel.
    pub time_scale: f64,
    /// The engines tested on this kernel.
    pub engines: BTreeMap<String, EngineInfo>,
    /// Requested engines that could not run on this kernel, with the reason.
    pub absent: BTreeMap<String, String>,
    /// Checks of the kernel module; null if none were made.
    pub module: Option<ModuleReport>,
    /// Kernel complaints while no cell was running.
    pub complaints: Vec<Complaint>,
    /// Number of boots.
    pub boots: u32,
    /// Total wall time of its guests, in milliseconds.
    pub wall_ms: u64,
}

/// An engine under test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct EngineInfo {
    /// Output of `--version`; empty if it was never started.
    pub version: String,
    /// Path of the program on the machine that executed the run.
    pub program: String,
    /// SHA-256 of the program.
    pub sha256: String,
}

/// A kernel complaint while no cell was running; usually a late effect of the cell that had just
/// ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Complaint {
    /// The complaint.
    pub text: String,
    /// The cell that had ended last, if any.
    pub after: Option<Cell>,
    /// The command that reruns that cell.
    pub repro: Option<String>,
}

impl Complaint {
    /// When it was reported, as text.
    pub fn when(&self) -> String {
        match &self.after {
            Some(cell) => format!("after {cell} had ended"),
            None => "before the first cell".to_owned(),
        }
    }
}

/// Checks of the kernel module on a kernel, apart from the corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct ModuleReport {
    /// The checks in the order in which they were made.
    pub checks: Vec<Check>,
    /// Measurements and remarks.
    pub notes: Vec<String>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Check {
    /// Name of the check.
    pub name: String,
    /// Why it failed; null if it passed.
    pub failure: Option<String>,
}

impl ModuleReport {
    /// Parses a line of the program that makes the checks: `ok NAME`, `FAIL NAME: why`, or a
    /// remark.
    pub fn hear(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("ok ") {
            self.checks.push(Check { name: name.to_owned(), failure: None });
        } else if let Some(rest) = line.strip_prefix("FAIL ") {
            let (name, why) = rest.split_once(": ").unwrap_or((rest, "no reason given"));
            self.complain(name, why);
        } else {
            self.notes.push(line.trim_start_matches("# ").to_owned());
        }
    }

    /// Adds a failed check.
    pub fn complain(&mut self, name: &str, why: &str) {
        self.checks.push(Check { name: name.to_owned(), failure: Some(why.to_owned()) });
    }

    /// The failed checks.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.checks.iter().filter_map(|check| Some((check.name.as_str(), check.failure.as_deref()?)))
    }

    /// Summary of the checks: `58 ok, 0 not`.
    pub fn count(&self) -> String {
        let failed = self.failures().count();
        format!("{} ok, {failed} not", self.checks.len() - failed)
    }
}

/// The result of one cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct CellResult {
    /// The cell.
    #[serde(flatten)]
    pub cell: Cell,
    /// The verdict after retries and expectations.
    pub verdict: Verdict,
    /// The stage that failed; null if none did.
    pub stage: Option<Stage>,
    /// One-line explanation; may be empty.
    pub reason: String,
    /// Wall time of the last attempt, in milliseconds.
    pub duration_ms: u64,
    /// Number of attempts.
    pub attempts: u32,
    /// The engine's measurements of the last attempt.
    pub measured: Vec<Measured>,
    /// Remarks that do not affect the verdict.
    pub notes: Vec<String>,
    /// The bundle's directory relative to the run's: of a red cell, or of the first attempt of a
    /// flaky one.
    pub bundle: Option<String>,
    /// The command that reruns this cell.
    pub repro: String,
}

impl CellResult {
    /// A cell that has started: its result if the driver is killed before it ends.
    pub fn begun(cell: Cell, attempts: u32, repro: String) -> Self {
        CellResult {
            verdict: Verdict::Missing,
            reason: "started, but the driver exited before its end".to_owned(),
            attempts,
            ..CellResult::not_run(cell, repro)
        }
    }

    /// A cell that has not been run.
    pub fn not_run(cell: Cell, repro: String) -> Self {
        CellResult {
            cell,
            verdict: Verdict::NotRun,
            stage: None,
            reason: "not run".to_owned(),
            duration_ms: 0,
            attempts: 0,
            measured: Vec::new(),
            notes: Vec::new(),
            bundle: None,
            repro,
        }
    }
}

/// The overall result of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// No cell is red.
    Green,
    /// A tested cell is red.
    Red,
    /// No tested cell is red, but not everything could be tested.
    Infrastructure,
    /// Stopped early, with no red cell until then.
    Interrupted,
}

impl Conclusion {
    /// The word used in every report.
    pub fn name(self) -> &'static str {
        match self {
            Conclusion::Green => "green",
            Conclusion::Red => "red",
            Conclusion::Infrastructure => "infrastructure",
            Conclusion::Interrupted => "interrupted",
        }
    }

    /// The exit code of the command; 2 is reserved for usage errors.
    pub fn exit_code(self) -> u8 {
        match self {
            Conclusion::Green => 0,
            Conclusion::Red => 1,
            Conclusion::Infrastructure => 3,
            // As a shell reports death by SIGINT.
            Conclusion::Interrupted => 130,
        }
    }
}

impl KernelInfo {
    /// Its release, for expectations; taken from the label if the release cannot be parsed.
    pub fn release(&self) -> Option<Release> {
        Release::parse(&self.release).or_else(|| Release::parse(&self.label))
    }

    /// Unique name within a run: `6.12/aarch64`.
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
    /// The column of a cell.
    pub fn of(cell: &'a Cell) -> Self {
        Column { arch: &cell.arch, kernel: &cell.kernel, engine: &cell.engine }
    }
}

impl Results {
    /// The engines that were tested or requested.
    pub fn engines(&self) -> BTreeSet<&str> {
        let absent = self.kernels.iter().flat_map(|kernel| kernel.absent.keys());
        self.cells.iter().map(|cell| &cell.cell.engine).chain(absent).map(String::as_str).collect()
    }

    /// The columns of the matrix: all engines of each kernel.
    pub fn columns(&self) -> Vec<Column<'_>> {
        let engines = self.engines();
        self.kernels
            .iter()
            .flat_map(|kernel| {
                engines.iter().map(|engine| Column { arch: &kernel.arch, kernel: &kernel.label, engine })
            })
            .collect()
    }

    /// Whether the run covers more than one architecture.
    pub fn is_mixed(&self) -> bool {
        self.kernels.windows(2).any(|two| two[0].arch != two[1].arch)
    }

    /// Number of cells by verdict; verdicts without cells are omitted.
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

    /// The overall result.
    pub fn conclusion(&self) -> Conclusion {
        let module_fails =
            |kernel: &KernelInfo| kernel.module.iter().any(|module| module.failures().next().is_some());
        let complains = |kernel: &KernelInfo| module_fails(kernel) || !kernel.complaints.is_empty();
        let is = |wanted: fn(Verdict) -> bool| self.cells.iter().any(|cell| wanted(cell.verdict));
        let of_what_was_tested =
            |verdict: Verdict| verdict.is_red() && !matches!(verdict, Verdict::Infra | Verdict::NotRun);
        // A part of a list may be empty, a list may not.
        let nothing = self.run.list.cells == 0;
        if is(of_what_was_tested) || self.kernels.iter().any(complains) {
            Conclusion::Red
        } else if self.run.interrupted {
            Conclusion::Interrupted
        } else if is(Verdict::is_red) || nothing {
            Conclusion::Infrastructure
        } else {
            Conclusion::Green
        }
    }

    /// Whether the run may exit with 0: it was complete, not empty, and nothing is red.
    pub fn is_green(&self) -> bool {
        self.conclusion() == Conclusion::Green
    }

    /// Counts how each expectation applied to this run.
    pub fn count_expectations(&mut self, expectations: &Expectations) {
        let release = |cell: &Cell| {
            let kernel = self.kernels.iter().find(|k| (&k.label, &k.arch) == (&cell.kernel, &cell.arch));
            kernel.and_then(KernelInfo::release)
        };
        let count = |(index, entry): (usize, &Expectation)| {
            let of_it: Vec<Verdict> = self
                .cells
                .iter()
                .filter(|result| entry.speaks_of(&result.cell, release(&result.cell)))
                .map(|result| result.verdict)
                .collect();
            let with = |wanted: Verdict| of_it.iter().filter(|verdict| **verdict == wanted).count();
            Expected {
                entry: index + 1,
                about: entry.about.clone(),
                cells: of_it.len(),
                met: with(Verdict::Xfail),
                passed: with(Verdict::Xpass),
            }
        };
        self.expectations = expectations.entries().iter().enumerate().map(count).collect();
    }

    /// The red cells grouped by cause, in order: cells with the same verdict, stage and reason
    /// share one.
    pub fn causes(&self) -> Vec<Vec<&CellResult>> {
        let mut causes: Vec<Vec<&CellResult>> = Vec::new();
        let mut known: BTreeMap<(Verdict, &str), usize> = BTreeMap::new();
        for result in self.red() {
            // Workloads may give the same reason by coincidence; reasons about a kernel or the
            // harness are shared.
            let shared = matches!(result.verdict, Verdict::Boot | Verdict::Infra | Verdict::NotRun);
            let key = (result.verdict, result.reason.as_str());
            match known.get(&key).filter(|_| shared) {
                Some(&index) => causes[index].push(result),
                None => {
                    known.insert(key, causes.len());
                    causes.push(vec![result]);
                }
            }
        }
        causes
    }

    /// The duration of each cell by its text form, for balancing parts.
    pub fn durations(&self) -> BTreeMap<String, u64> {
        self.cells.iter().map(|cell| (cell.cell.to_string(), cell.duration_ms)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::report::sample;

    /// `INSTA_UPDATE=always` regenerates the page; a change of the format needs a new [`VERSION`].
    #[test]
    fn the_published_schema_is_that_of_the_file() {
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
        let schema = settings.into_generator().into_root_schema_for::<Results>();
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results.schema.json");
        if std::env::var("INSTA_UPDATE").is_ok_and(|how| how == "always") {
            fs::write(&page, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(page).unwrap(), text, "docs/results.schema.json is out of date");
        let validator = jsonschema::validator_for(schema.as_value()).unwrap();
        for run in [sample::run(), sample::mixed(), sample::with_module()] {
            let value = serde_json::to_value(&run).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
        // Every key is always present.
        for (part, key) in [("run", "expectations_sha256"), ("run", "revision"), ("run", "part")] {
            let mut value = serde_json::to_value(sample::run()).unwrap();
            value[part].as_object_mut().unwrap().remove(key).unwrap();
            assert!(!validator.is_valid(&value), "{part}.{key} may be missing");
        }
        for key in ["measured", "notes", "bundle", "stage"] {
            let mut value = serde_json::to_value(sample::run()).unwrap();
            value["cells"][0].as_object_mut().unwrap().remove(key).unwrap();
            assert!(!validator.is_valid(&value), "{key} of a cell may be missing");
        }
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
        assert_eq!(run.conclusion(), Conclusion::Red);
        run.cells.retain(|cell| !cell.verdict.is_red());
        assert_eq!(run.conclusion(), Conclusion::Green);
        run.run.interrupted = true;
        assert_eq!(run.conclusion(), Conclusion::Interrupted);
        run.run.interrupted = false;
        let mut module = ModuleReport::default();
        module.hear("ok loads");
        run.kernels[0].module = Some(module.clone());
        assert_eq!(run.conclusion(), Conclusion::Green);
        module.hear("FAIL unloads: it is in use");
        run.kernels[0].module = Some(module);
        assert_eq!(run.conclusion(), Conclusion::Red);
        run.kernels[0].module = None;
        let text = "unreferenced object 0x1 (size 8)".to_owned();
        run.kernels[0].complaints.push(Complaint { text, after: None, repro: None });
        assert_eq!(run.conclusion(), Conclusion::Red);
        run.kernels[0].complaints.clear();
        run.cells[0].verdict = Verdict::Infra;
        assert_eq!(run.conclusion(), Conclusion::Infrastructure);
        run.cells.clear();
        // A part of a list may be empty.
        assert_eq!(run.conclusion(), Conclusion::Green);
        run.run.list.cells = 0;
        assert_eq!(run.conclusion(), Conclusion::Infrastructure);
    }

    #[test]
    fn what_was_not_run_is_not_green() {
        let mut run = sample::run();
        for cell in &mut run.cells {
            *cell = CellResult::not_run(cell.cell.clone(), String::new());
        }
        assert_eq!(run.conclusion(), Conclusion::Infrastructure);
        run.run.interrupted = true;
        assert_eq!(run.conclusion().exit_code(), 130);
        run.cells[0].verdict = Verdict::Fail;
        assert_eq!(run.conclusion().exit_code(), 1);
    }
}
