//! The bundle of a red cell: a directory with everything needed to find out why the cell is red.
//!
//! The runner's files (context files, records, output of each program) arrive in pieces while the
//! cell runs; `cell.json`, `repro.sh` and the guest's console are added at the end.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::cell::Cell;
use crate::report::{CellResult, KernelInfo};

/// Directory of the bundles, relative to the run's directory.
pub const FOLDER: &str = "red";

/// Writes the bundles of one run.
#[derive(Debug, Clone)]
pub struct Bundles {
    run_dir: PathBuf,
    /// The checkout that `repro.sh` changes into.
    checkout: PathBuf,
}

/// Contents of `cell.json`.
#[derive(Serialize)]
struct CellFile<'a> {
    result: &'a CellResult,
    kernel: &'a KernelInfo,
    seed: u64,
}

/// Why a piece of a file cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file's name is not a plain file name.
    #[error("artifact name {0:?} is not a plain file name")]
    Name(String),
    /// The piece is not valid base64.
    #[error("artifact {name}: {source}")]
    Data {
        /// Name of the file.
        name: String,
        /// The decoding error.
        #[source]
        source: base64::DecodeError,
    },
    /// The file cannot be written.
    #[error("write {path}: {source}")]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
    /// `cell.json` cannot be serialized.
    #[error("render cell.json: {0}")]
    Json(#[from] serde_json::Error),
}

impl Bundles {
    /// Bundles below `run_dir`; `repro.sh` reruns the cell in `checkout`.
    pub fn new(run_dir: &Path, checkout: &Path) -> Bundles {
        Bundles { run_dir: run_dir.to_owned(), checkout: checkout.to_owned() }
    }

    /// The bundle's directory relative to the run's directory.
    pub fn relative(cell: &Cell) -> String {
        format!("{FOLDER}/{}", cell.slug())
    }

    /// Where the bundle of an earlier attempt is moved when the cell is retried.
    pub fn aside(cell: &Cell, attempt: u32) -> String {
        format!("{}.attempt-{attempt}", Bundles::relative(cell))
    }

    /// Prepares for `attempt`, counted from 1, by moving the bundle of the previous attempt aside:
    /// for a cell that passes on retry it is the only evidence.
    ///
    /// # Errors
    /// [`BundleError::Write`].
    pub fn begin(&self, cell: &Cell, attempt: u32) -> Result<(), BundleError> {
        let path = self.run_dir.join(Bundles::relative(cell));
        match fs::rename(&path, self.run_dir.join(Bundles::aside(cell, attempt.saturating_sub(1)))) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(BundleError::Write { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Stores one piece of one file. The name comes from a guest and is not trusted.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn piece(&self, cell: &Cell, name: &str, offset: u64, data: &str) -> Result<(), BundleError> {
        let plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
        if !plain {
            return Err(BundleError::Name(name.to_owned()));
        }
        let bytes =
            BASE64.decode(data).map_err(|source| BundleError::Data { name: name.to_owned(), source })?;
        let path = self.run_dir.join(Bundles::relative(cell)).join(name);
        let write = || -> io::Result<()> {
            fs::create_dir_all(self.run_dir.join(Bundles::relative(cell)))?;
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&bytes)
        };
        write().map_err(|source| BundleError::Write { path: path.clone(), source })
    }

    /// Completes the bundle of a result, if it has one: `cell.json`, `repro.sh`, and the files of
    /// the guest's directory (console, QEMU's command line).
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn finish(
        &self,
        result: &CellResult,
        kernel: &KernelInfo,
        seed: u64,
        guest_files: &[PathBuf],
    ) -> Result<(), BundleError> {
        let Some(bundle) = &result.bundle else { return Ok(()) };
        let dir = self.run_dir.join(bundle);
        let put = |name: &str, text: &str| -> Result<(), BundleError> {
            let path = dir.join(name);
            fs::create_dir_all(&dir)
                .and_then(|()| fs::write(&path, text))
                .map_err(|source| BundleError::Write { path, source })
        };
        let text = serde_json::to_string_pretty(&CellFile { result, kernel, seed })?;
        put("cell.json", &(text + "\n"))?;
        put("repro.sh", &self.script(&result.repro))?;
        for file in guest_files {
            let Some(name) = file.file_name() else { continue };
            let path = dir.join(name);
            fs::copy(file, &path).map_err(|source| BundleError::Write { path, source })?;
        }
        Ok(())
    }
}

impl Bundles {
    /// The command as a script that can be started from any directory.
    fn script(&self, command: &str) -> String {
        let checkout = quoted(&self.checkout.to_string_lossy());
        format!("#!/bin/sh\ncd {checkout} || exit 3\nexec {command}\n")
    }
}

/// A word quoted for a shell.
pub fn quoted(word: &str) -> String {
    // A word of a command line cannot contain NUL.
    shlex::try_quote(word).map_or_else(|_| word.replace('\0', ""), |quoted| quoted.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use rstest::rstest;

    #[test]
    fn pieces_make_a_file_and_a_new_attempt_starts_afresh() {
        let dir = tempfile::tempdir().unwrap();
        let bundles = Bundles::new(dir.path(), dir.path());
        let cell = sample::run().cells[4].cell.clone();
        bundles.piece(&cell, "context.1", 3, &BASE64.encode("def")).unwrap();
        bundles.piece(&cell, "context.1", 0, &BASE64.encode("abc")).unwrap();
        let file = dir.path().join(Bundles::relative(&cell)).join("context.1");
        assert_eq!(fs::read(&file).unwrap(), b"abcdef");
        bundles.begin(&cell, 2).unwrap();
        assert!(!file.exists());
        let aside = dir.path().join(Bundles::aside(&cell, 1)).join("context.1");
        assert_eq!(fs::read(&aside).unwrap(), b"abcdef");
        // An attempt without a bundle leaves nothing to move aside.
        bundles.begin(&cell, 3).unwrap();
        assert!(!dir.path().join(Bundles::aside(&cell, 2)).exists());
    }

    #[rstest]
    #[case("../evil")]
    #[case("..")]
    #[case("/etc/passwd")]
    #[case("")]
    fn names_stay_inside(#[case] name: &str) {
        let dir = tempfile::tempdir().unwrap();
        let cell = sample::run().cells[4].cell.clone();
        let error = Bundles::new(dir.path(), dir.path()).piece(&cell, name, 0, "").unwrap_err();
        assert!(matches!(error, BundleError::Name(_)), "{error}");
    }

    #[test]
    fn the_bundle_says_how_to_repeat_it() {
        let dir = tempfile::tempdir().unwrap();
        let run = sample::run();
        let console = dir.path().join("console.log");
        fs::write(&console, "boot").unwrap();
        Bundles::new(dir.path(), dir.path()).finish(&run.cells[4], &run.kernels[1], 1, &[console]).unwrap();
        let bundle = dir.path().join(Bundles::relative(&run.cells[4].cell));
        let script = fs::read_to_string(bundle.join("repro.sh")).unwrap();
        assert!(script.contains("cargo xtask repro 7.3/x86_64/dynamic/cairn/fp/avx/once"));
        assert!(bundle.join("cell.json").is_file() && bundle.join("console.log").is_file());
    }
}
