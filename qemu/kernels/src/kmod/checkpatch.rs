//! Runs the kernel's style checker `checkpatch.pl` on the module's sources.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use super::{Error, Sources};
use crate::kernels::{Matrix, Options, extra};
use crate::setup::{self, Need};

/// Message types that are ignored, each with the reason.
const IGNORED: &[(&str, &str)] = &[
    ("EMBEDDED_FILENAME", "one header includes another that has the same name elsewhere"),
    ("LINUX_VERSION_CODE", "out of the kernel's tree one file is for many versions"),
    ("CONSTANT_COMPARISON", "the version to compile for is taken for a constant"),
    ("MACRO_ARG_UNUSED", "the columns of a table of macros, of which each use takes its own"),
    ("MACRO_ARG_REUSE", "the same; what stands there are types and names"),
    ("MULTISTATEMENT_MACRO_USE_DO_WHILE", "the same; declarations cannot be in a loop"),
    ("COMPLEX_MACRO", "the same; its rows one after the other are no value"),
    ("ALLOC_WITH_SIZEOF", "what it prefers, only the newest kernels have"),
];

/// The messages of `checkpatch.pl --strict`, one per line; empty if there are none.
///
/// # Errors
/// When the script cannot be obtained or run.
pub fn judge(matrix: &Matrix, sources: &Sources, options: &Options<'_>) -> Result<Vec<String>, Error> {
    setup::ensure(&[Need::PERL], options.offline, options.progress)?;
    let script = extra::checkpatch(matrix, options)?;
    let ignored: Vec<&str> = IGNORED.iter().map(|(kind, _)| *kind).collect();
    let failed = |why: String| Error::Program { what: "run checkpatch".to_owned(), why };
    let output = Command::new("perl")
        .arg(&script)
        .args(["--no-tree", "--strict", "--terse", "--show-types", "--no-summary", "--color=never"])
        .args(["--ignore", &ignored.join(","), "-f"])
        .args(sources.files.iter().filter(|file| file.extension().is_some_and(is_c)))
        .current_dir(&sources.dir)
        // It looks for a configuration file of the user there.
        .env("HOME", &sources.dir)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    let complaints: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.is_empty())
        .map(Into::into)
        .collect();
    // It exits with 1 if there are messages; without any, the script itself failed.
    if complaints.is_empty() && !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(complaints)
}

fn is_c(ending: &OsStr) -> bool {
    ending == "c" || ending == "h"
}
