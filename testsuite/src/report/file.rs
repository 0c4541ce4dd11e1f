//! A run's directory: `results.json`, which is written before the first cell runs, with every cell
//! *not-run*, and `cells.jsonl` beside it during the run, with a line per result. After a driver
//! was killed, [`Results::load`] combines the two.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::results::{CellResult, Results, VERSION};
use crate::cell::Cell;
use crate::partition::{ListDigest, Partition};

/// Name of the results file in a run's directory.
pub const FILE: &str = "results.json";
/// Name of the journal beside it during the run: a line per result.
pub const JOURNAL: &str = "cells.jsonl";

/// Why a results file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The file cannot be read or written.
    #[error("{what} {path}: {source}")]
    Io {
        /// The action: `read`, `write` …
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
    /// Not JSON of the expected shape.
    #[error("parse {path}: {source}")]
    Shape {
        /// Path of the file.
        path: PathBuf,
        /// The parse error.
        #[source]
        source: serde_json::Error,
    },
    /// A line of the journal is not a result.
    #[error("{path}, line {line}: {source}; remove that line to render the rest")]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The parse error.
        #[source]
        source: serde_json::Error,
    },
    /// Cells of the run are missing from the file.
    #[error("{path} has {found} cells of the {wanted} in its list, or different ones")]
    Cells {
        /// Path of the file.
        path: PathBuf,
        /// Number of cells found.
        found: usize,
        /// Number of cells in the list.
        wanted: usize,
    },
    /// Another version of the format.
    #[error("{path} has version {found}, but this program reads {VERSION}")]
    Version {
        /// Path of the file.
        path: PathBuf,
        /// The version found.
        found: u64,
    },
}

fn read(path: &Path) -> Result<Vec<u8>, ResultsError> {
    fs::read(path).map_err(failed("read", path))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ResultsError {
    move |source| ResultsError::Io { what, path: path.to_owned(), source }
}

impl Results {
    /// Reads a run's directory, including that of a run that was killed.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn load(dir: &Path) -> Result<Results, ResultsError> {
        let path = dir.join(FILE);
        let text = read(&path)?;
        let shape = |source| ResultsError::Shape { path: path.clone(), source };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(shape)?;
        let found = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if found != u64::from(VERSION) {
            return Err(ResultsError::Version { path, found });
        }
        let mut results: Results = serde_json::from_value(value).map_err(shape)?;
        if results.run.interrupted {
            results.take_journal(&dir.join(JOURNAL))?;
        }
        let cells: Vec<&Cell> = results.cells.iter().map(|result| &result.cell).collect();
        let list = &results.run.list;
        let whole = results.run.part == Partition::WHOLE;
        if cells.len() > list.cells || whole && ListDigest::of(&cells) != *list {
            return Err(ResultsError::Cells { path, found: cells.len(), wanted: list.cells });
        }
        Ok(results)
    }

    /// Applies the journal: the last line of each cell counts, an incomplete line is ignored.
    fn take_journal(&mut self, path: &Path) -> Result<(), ResultsError> {
        let text = match read(path) {
            Err(ResultsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let lines = (1..).zip(text.split_inclusive(|byte| *byte == b'\n'));
        let mut came: BTreeMap<Cell, CellResult> = BTreeMap::new();
        for (line, text) in lines.filter(|(_, text)| text.ends_with(b"\n")) {
            let shape = |source| ResultsError::Line { path: path.to_owned(), line, source };
            let result: CellResult = serde_json::from_slice(text).map_err(shape)?;
            came.insert(result.cell.clone(), result);
        }
        if let Ok(last) = fs::metadata(path).and_then(|meta| meta.modified()) {
            let since = last.duration_since(self.run.started.into()).unwrap_or_default();
            self.run.wall_ms = self.run.wall_ms.max(since.as_millis() as u64);
        }
        for cell in &mut self.cells {
            if let Some(result) = came.remove(&cell.cell) {
                *cell = result;
            }
        }
        Ok(())
    }

    /// Writes a run's directory.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn save(&self, dir: &Path) -> Result<(), ResultsError> {
        let path = dir.join(FILE);
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| ResultsError::Shape { path: path.clone(), source })?;
        // Renamed when complete, so that a reader never sees a partial file.
        let beside = dir.join(format!("{FILE}.new"));
        fs::write(&beside, text + "\n")
            .and_then(|()| fs::rename(&beside, &path))
            .map_err(failed("write", &path))
    }
}

/// The journal: results recorded during a run, in case it is killed.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Creates an empty journal in a run's directory.
    ///
    /// # Errors
    /// [`ResultsError::Io`].
    pub fn begin(dir: &Path) -> Result<Journal, ResultsError> {
        let path = dir.join(JOURNAL);
        let file = File::create(&path).map_err(failed("make", &path))?;
        Ok(Journal { path, file: Mutex::new(file) })
    }

    /// Appends a result in one write.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn keep(&self, result: &CellResult) -> Result<(), ResultsError> {
        let shape = |source| ResultsError::Shape { path: self.path.clone(), source };
        let line = serde_json::to_string(result).map_err(shape)? + "\n";
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).map_err(failed("write", &self.path))
    }

    /// Removes the journal once the results file is complete.
    ///
    /// # Errors
    /// [`ResultsError::Io`].
    pub fn end(self) -> Result<(), ResultsError> {
        fs::remove_file(&self.path).map_err(failed("remove", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Conclusion, sample};
    use crate::verdict::Verdict;

    #[test]
    fn file_round_trips_and_knows_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let run = sample::run();
        run.save(dir.path()).unwrap();
        let back = Results::load(dir.path()).unwrap();
        assert_eq!(serde_json::to_value(&back).unwrap(), serde_json::to_value(&run).unwrap());
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap().replace("\"version\": 2", "\"version\": 9");
        fs::write(&path, text).unwrap();
        assert!(matches!(Results::load(dir.path()), Err(ResultsError::Version { found: 9, .. })));
    }

    /// The driver was killed: recorded results are kept, the last one of a retried cell counts, an
    /// incomplete line is ignored.
    #[test]
    fn a_run_that_was_killed_keeps_what_it_knew() {
        let dir = tempfile::tempdir().unwrap();
        let whole = sample::run();
        let mut begun = whole.clone();
        begun.run.interrupted = true;
        for cell in &mut begun.cells {
            *cell = CellResult::not_run(cell.cell.clone(), cell.repro.clone());
        }
        begun.save(dir.path()).unwrap();
        assert_eq!(Results::load(dir.path()).unwrap().conclusion(), Conclusion::Interrupted);
        let line = |cell: &CellResult| serde_json::to_string(cell).unwrap() + "\n";
        let mut retried = whole.cells[0].clone();
        retried.verdict = Verdict::Fail;
        let journal = [line(&retried), line(&whole.cells[1]), line(&whole.cells[0])].concat();
        let cut = &line(&whole.cells[2])[..20];
        fs::write(dir.path().join(JOURNAL), journal + cut).unwrap();
        let back = Results::load(dir.path()).unwrap();
        let verdicts: Vec<Verdict> = back.cells.iter().map(|cell| cell.verdict).collect();
        assert_eq!(verdicts[..3], [Verdict::Pass, Verdict::Skip, Verdict::NotRun]);
        assert_eq!(back.conclusion(), Conclusion::Interrupted);
    }

    #[test]
    fn a_file_that_has_lost_cells_is_no_green_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = sample::run();
        run.cells.pop();
        run.save(dir.path()).unwrap();
        let error = Results::load(dir.path()).unwrap_err();
        assert!(matches!(error, ResultsError::Cells { .. }), "{error}");
    }

    /// A cell that started without ending differs from one that never started; a damaged line is
    /// reported by its number.
    #[test]
    fn what_had_begun_when_the_driver_was_killed_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let mut begun = sample::run();
        begun.run.interrupted = true;
        for cell in &mut begun.cells {
            *cell = CellResult::not_run(cell.cell.clone(), cell.repro.clone());
        }
        begun.save(dir.path()).unwrap();
        let journal = Journal::begin(dir.path()).unwrap();
        let first = &begun.cells[0];
        journal.keep(&CellResult::begun(first.cell.clone(), 1, first.repro.clone())).unwrap();
        let back = Results::load(dir.path()).unwrap();
        assert_eq!([back.cells[0].verdict, back.cells[1].verdict], [Verdict::Missing, Verdict::NotRun]);
        let mut text = fs::read(dir.path().join(JOURNAL)).unwrap();
        text.extend(b"{}\n");
        fs::write(dir.path().join(JOURNAL), text).unwrap();
        assert!(matches!(Results::load(dir.path()), Err(ResultsError::Line { line: 2, .. })));
    }

    #[test]
    fn a_journal_keeps_every_result_and_goes_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::begin(dir.path()).unwrap();
        for cell in &sample::run().cells[..2] {
            journal.keep(cell).unwrap();
        }
        let path = dir.path().join(JOURNAL);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        journal.end().unwrap();
        assert!(!path.exists());
    }
}
