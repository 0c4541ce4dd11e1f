//! `results.json`: the whole of a run as data. Every other report is a rendering of it. Its shape
//! is in `docs/results.schema.json`; every key is always there.

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

/// Version of the file's shape. Readers refuse another one.
pub const VERSION: u32 = 2;

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Results {
    /// [`VERSION`].
    pub version: u32,
    /// The run as such.
    pub run: RunInfo,
    /// One entry for each kernel, in the order of the run.
    pub kernels: Vec<KernelInfo>,
    /// Kernels that were asked for and are not to be had.
    pub absent: Vec<Absent>,
    /// The entries of `expectations.toml` that some cell of the run could have met, or that none
    /// could.
    pub expectations: Vec<Expected>,
    /// One entry for each cell, in the order of the corpus.
    pub cells: Vec<CellResult>,
}

/// When, where and how a run was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct RunInfo {
    /// Name of the run's directory.
    pub id: String,
    /// When it began.
    #[cfg_attr(test, schemars(with = "String"))]
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub wall_ms: u64,
    /// The commit of the tree it was made from, with `+` when the tree had changes.
    pub revision: Option<String>,
    /// The machine that it ran on.
    pub host: Host,
    /// The compiler that built what was built for it.
    pub compiler: String,
    /// The command line after `cargo xtask`.
    pub command: Vec<String>,
    /// The kernels that were asked for, in the words of the command line.
    pub requested: Vec<String>,
    /// The seed that every workload got.
    pub seed: u64,
    /// Cells at once in one place; 0: one for each processor.
    pub jobs: usize,
    /// How often a red cell was tried again.
    pub retries: u32,
    /// Factor on every time limit, on top of each kernel's own.
    pub timeout_scale: f64,
    /// SHA-256 of `expectations.toml`, where there is one.
    pub expectations_sha256: Option<String>,
    /// Which part of the list this is.
    #[cfg_attr(test, schemars(with = "String"))]
    pub part: Partition,
    /// The list of all cells that were asked for, of which this may be a part.
    pub list: ListDigest,
    /// It was stopped before its end; what had no verdict by then is *not-run*.
    pub interrupted: bool,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Host {
    /// Its name.
    pub name: String,
    /// `uname -r`.
    pub release: String,
    /// Its architecture.
    pub arch: String,
    /// Its processors.
    pub cpus: usize,
}

/// A kernel that was asked for and is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Absent {
    /// Its label.
    pub kernel: String,
    /// The architecture.
    pub arch: String,
    /// Why.
    pub reason: String,
}

/// What an entry of `expectations.toml` did in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Expected {
    /// Which, counted from 1 in the order of the file.
    pub entry: usize,
    /// Its workload, kernels and whatever else narrows it, in words.
    pub about: String,
    /// Cells that it speaks of.
    pub cells: usize,
    /// Of these, those that failed as it says.
    pub met: usize,
    /// Of these, those that passed.
    pub passed: usize,
}

impl Expected {
    /// Whether everything that it speaks of has passed.
    pub fn is_needless(&self) -> bool {
        self.passed > 0 && self.passed == self.cells
    }
}

/// One kernel of a run: which one exactly, and how it was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct KernelInfo {
    /// What cells call it.
    pub label: String,
    /// The architecture, as cells name it.
    pub arch: String,
    /// `uname -r` as the kernel itself says; of one that never came up, as it was promised.
    pub release: String,
    /// Package and version it came from, or the path that the user named; empty for `host`.
    pub package: String,
    /// The suite that the package was found in.
    pub suite: Option<String>,
    /// SHA-256 of what was fetched, as the archive signs it, or of the image that the user brought.
    pub sha256: Option<String>,
    /// `kvm`, `tcg` or `host`.
    pub accel: String,
    /// Why it does not run on the hardware, where it does not.
    pub no_kvm: Option<String>,
    /// What QEMU says to `--version`, where there is one.
    pub qemu: Option<String>,
    /// This place's own factor on every time limit.
    pub time_scale: f64,
    /// Each engine that was judged there.
    pub engines: BTreeMap<String, EngineInfo>,
    /// Engines that were asked for and could not run there, with the reason.
    pub absent: BTreeMap<String, String>,
    /// What the module was put to there, if it was.
    pub module: Option<ModuleReport>,
    /// What it complained of while no cell ran.
    pub complaints: Vec<Complaint>,
    /// How often it was booted.
    pub boots: u32,
    /// Time from start to end of all its guests, in milliseconds.
    pub wall_ms: u64,
}

/// An engine that is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct EngineInfo {
    /// What it said to `--version`; empty where nobody came to ask.
    pub version: String,
    /// The program, on the machine that the run was made on.
    pub program: String,
    /// SHA-256 of the program.
    pub sha256: String,
}

/// What a kernel said while no cell ran: mostly late, of one that had just ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Complaint {
    /// What it said.
    pub text: String,
    /// The cell that had ended last, if there was one.
    pub after: Option<Cell>,
    /// The command that runs that cell again.
    pub repro: Option<String>,
}

impl Complaint {
    /// When it came, in words.
    pub fn when(&self) -> String {
        match &self.after {
            Some(cell) => format!("after {cell} had ended"),
            None => "before the first cell".to_owned(),
        }
    }
}

/// What the kernel module was put to on a kernel, apart from the corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct ModuleReport {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// Figures and remarks.
    pub notes: Vec<String>,
}

/// Something that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct Check {
    /// What.
    pub name: String,
    /// Why it is not as it should be; nothing when it is.
    pub failure: Option<String>,
}

impl ModuleReport {
    /// Takes in a line of the program that makes the checks: `ok NAME`, `FAIL NAME: why`, or a
    /// remark.
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
#[cfg_attr(test, derive(JsonSchema))]
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
    pub measured: Vec<Measured>,
    /// Remarks that change no verdict.
    pub notes: Vec<String>,
    /// The bundle's directory below the run's, for a red cell and, of the first attempt, for a
    /// flaky one.
    pub bundle: Option<String>,
    /// The command that runs this cell again.
    pub repro: String,
}

impl CellResult {
    /// A cell that has begun: what a driver that is killed meanwhile leaves of it.
    pub fn begun(cell: Cell, attempts: u32, repro: String) -> Self {
        CellResult {
            verdict: Verdict::Missing,
            reason: "begun, and the driver ended before it did".to_owned(),
            attempts,
            ..CellResult::not_run(cell, repro)
        }
    }

    /// A cell that nobody has run yet.
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

/// How a run ended, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Nothing is red.
    Green,
    /// Something that was tested is red.
    Red,
    /// Nothing that was tested is red, but not everything could be tested.
    Infrastructure,
    /// It was stopped before its end, with nothing red until then.
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

    /// The exit code of a command whose run ended so; 2 is for a command line that is wrong.
    pub fn exit_code(self) -> u8 {
        match self {
            Conclusion::Green => 0,
            Conclusion::Red => 1,
            Conclusion::Infrastructure => 3,
            // As a shell has it for what SIGINT ends.
            Conclusion::Interrupted => 130,
        }
    }
}

impl KernelInfo {
    /// Its release, for what is expected of it; of one that says none, what its label says.
    pub fn release(&self) -> Option<Release> {
        Release::parse(&self.release).or_else(|| Release::parse(&self.label))
    }

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

    /// How the run ended.
    pub fn conclusion(&self) -> Conclusion {
        let module_fails =
            |kernel: &KernelInfo| kernel.module.iter().any(|module| module.failures().next().is_some());
        let complains = |kernel: &KernelInfo| module_fails(kernel) || !kernel.complaints.is_empty();
        let is = |wanted: fn(Verdict) -> bool| self.cells.iter().any(|cell| wanted(cell.verdict));
        let of_what_was_tested =
            |verdict: Verdict| verdict.is_red() && !matches!(verdict, Verdict::Infra | Verdict::NotRun);
        // A part of a list may be empty; a list may not.
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

    /// Whether the run may end with 0: it came to its end, there was something to run, and nothing
    /// is red.
    pub fn is_green(&self) -> bool {
        self.conclusion() == Conclusion::Green
    }

    /// Counts what each entry of the expectations did here.
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

    /// The red cells by what is wrong with them, in order: those that have verdict, stage and
    /// reason in common are one.
    pub fn causes(&self) -> Vec<Vec<&CellResult>> {
        let mut causes: Vec<Vec<&CellResult>> = Vec::new();
        let mut known: BTreeMap<(Verdict, &str), usize> = BTreeMap::new();
        for result in self.red() {
            // What a workload says of itself may be the same by chance; what is said of a kernel or
            // of the harness is not.
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

    /// What each cell took, by its text form, for a balance of parts.
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

    /// `INSTA_UPDATE=always` writes the page anew; what changes there takes a new [`VERSION`].
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
        // Every key is always there.
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
        // A part of a list may have none.
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
