//! Build roots: minimal systems, one per suite, with the compilers that modules for its kernels are
//! built with.
//!
//! `mmdebstrap` creates them from the archive that kernels come from, verified with the same keys.
//! A root contains the essential packages and the requested ones only; if further ones are needed,
//! it is recreated with all of them. Headers are unpacked into it when needed and stay.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, io_error, remove};
use crate::cache::{self, Lock};
use crate::kernels::{Matrix, Options, open_archive};
use crate::setup::{self, Need};

/// Packages of every root besides compilers.
const ALWAYS: &[&str] = &["make", "sparse"];

/// File with the list of packages that a root was created with, and the headers it contains.
const PACKAGES: &str = ".cairn-packages";
const UNPACKED: &str = ".cairn-unpacked";

/// A build root that is locked for exclusive use as long as this exists.
pub struct Root {
    path: PathBuf,
    _lock: Lock,
}

/// Output of a command in a root.
#[derive(Debug)]
pub struct Output {
    /// Whether it exited successfully.
    pub success: bool,
    /// Standard output and error.
    pub text: String,
}

/// The suite whose system is the base for packages of `suite`: backports are built with the
/// compiler of their base suite, and experimental with that of the development suite.
fn base_suite(suite: &str) -> &str {
    match suite {
        "experimental" => "sid",
        other => other.strip_suffix("-backports").unwrap_or(other),
    }
}

/// The build root for kernels of `suite` with these packages; created if it does not exist or lacks
/// some of them. Blocks while another process uses it.
///
/// # Errors
/// When it cannot be created; offline, when it would have to be.
pub fn enter(
    matrix: &Matrix,
    suite: &str,
    packages: &[String],
    options: &Options<'_>,
) -> Result<Root, Error> {
    let base = base_suite(suite);
    let roots = options.cache.dir("roots")?;
    let lock = options.cache.lock(&format!("root-{base}"))?;
    let path = roots.join(base);
    let mut wanted: BTreeSet<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
    wanted.extend(packages.iter().cloned());
    let kept = fs::read_to_string(path.join(PACKAGES)).unwrap_or_default();
    let has: BTreeSet<String> = kept.lines().map(str::to_owned).collect();
    if !wanted.is_subset(&has) {
        if options.offline {
            let lacking: Vec<&str> = wanted.difference(&has).map(String::as_str).collect();
            return Err(Error::NoRoot { suite: base.to_owned(), wanted: lacking.join(", ") });
        }
        wanted.extend(has);
        make(matrix, base, &wanted, &roots, options)?;
    }
    Ok(Root { path, _lock: lock })
}

fn make(
    matrix: &Matrix,
    suite: &str,
    packages: &BTreeSet<String>,
    roots: &Path,
    options: &Options<'_>,
) -> Result<(), Error> {
    setup::ensure(&[Need::MMDEBSTRAP], options.offline, options.progress)?;
    let archive = open_archive(matrix, options)?;
    let list: Vec<&str> = packages.iter().map(String::as_str).collect();
    options.progress.message(&format!("making a build root of {suite} with {}", list.join(", ")));
    let keyrings: Vec<String> = archive.keyrings().iter().map(|path| path.display().to_string()).collect();
    let staging = tempfile::Builder::new()
        .prefix(&format!("{suite}-"))
        .suffix(".tmp")
        .tempdir_in(roots)
        .map_err(io_error("create a directory in", roots))?;
    let failed = |why: String| Error::Root { suite: suite.to_owned(), why };
    let output = Command::new("mmdebstrap")
        .args(["--mode=root", "--variant=essential", "--quiet"])
        // As elsewhere here, an old snapshot of an archive is acceptable.
        .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
        .arg(format!("--include={}", list.join(",")))
        .arg(suite)
        .arg(staging.path())
        .arg(format!("deb [signed-by={}] {} {suite} main", keyrings.join(","), archive.base()))
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(format!("start mmdebstrap: {e}")))?;
    if !output.status.success() {
        return Err(failed(last_words(&output.stderr)));
    }
    let mut text = list.join("\n");
    text.push('\n');
    fs::set_permissions(staging.path(), Permissions::from_mode(0o755))
        .map_err(io_error("set the permissions of", staging.path()))?;
    cache::write_atomically(&staging.path().join(PACKAGES), text.as_bytes())?;
    let path = roots.join(suite);
    remove(&path)?;
    fs::rename(staging.path(), &path).map_err(io_error("rename into", &path))?;
    // It has been renamed; there is nothing left to remove.
    let _ = staging.keep();
    Ok(())
}

/// Runs a program of this machine, which must succeed.
pub(super) fn run_here(command: &mut Command, what: &str) -> Result<(), Error> {
    let failed = |why: String| Error::Program { what: what.to_owned(), why };
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(|e| failed(format!("start {}: {e}", command.get_program().display())))?;
    if output.status.success() { Ok(()) } else { Err(failed(last_words(&output.stderr))) }
}

/// The error lines in a program's output, or else the last few.
pub(super) fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("E:")).collect();
    if errors.is_empty() {
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(3)..].join("; ")
    } else {
        errors.join("; ")
    }
}

impl Root {
    /// Path of the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Unpacks the files of a package below `/usr`, unless that was done before. `deb` is named
    /// after its digest.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub fn unpack(&self, deb: &Path) -> Result<(), Error> {
        let marks = self.path.join(UNPACKED);
        fs::create_dir_all(&marks).map_err(io_error("create", &marks))?;
        let mark = marks.join(deb.file_stem().unwrap_or_default());
        if mark.is_file() {
            return Ok(());
        }
        let failed = |why: String| Error::Program { what: format!("unpack {}", deb.display()), why };
        let mut source = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(deb)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| failed(format!("start dpkg-deb: {e}")))?;
        let stream = source.stdout.take().ok_or_else(|| failed("no output".to_owned()))?;
        // Only /usr: `/lib` is a directory in the package and a symbolic link in the root that must
        // be kept.
        let output = Command::new("tar")
            .args(["--extract", "--keep-directory-symlink", "--no-same-owner", "--wildcards", "-C"])
            .arg(&self.path)
            .args(["--exclude=./usr/share/*", "./usr/*"])
            .stdin(stream)
            .output()
            .map_err(|e| failed(format!("start tar: {e}")))?;
        let source = source.wait().map_err(|e| failed(format!("wait for dpkg-deb: {e}")))?;
        if !output.status.success() || !source.success() {
            return Err(failed(last_words(&output.stderr)));
        }
        cache::write_atomically(&mark, b"")?;
        Ok(())
    }

    /// Runs a command in the root; see [`run_in`].
    ///
    /// # Errors
    /// When it cannot be started; its failure is not an error.
    pub fn run(&self, command: &[String]) -> Result<Output, Error> {
        run_in(&self.path, command)
    }

    /// The same, and passes each line of output to `each` as it arrives.
    ///
    /// # Errors
    /// As [`Root::run`].
    pub fn run_and_tell(&self, command: &[String], each: &mut dyn FnMut(&str)) -> Result<Output, Error> {
        run_and_tell_in(&self.path, command, each)
    }
}

/// Runs a command in the system in this directory, with `/proc` mounted (objtool needs it) and a
/// clean environment.
///
/// # Errors
/// When it cannot be started; its failure is not an error.
pub(super) fn run_in(root: &Path, command: &[String]) -> Result<Output, Error> {
    run_and_tell_in(root, command, &mut |_| {})
}

fn run_and_tell_in(root: &Path, command: &[String], each: &mut dyn FnMut(&str)) -> Result<Output, Error> {
    // The mount is made in a mount namespace of its own and disappears with it.
    const ENTER: &str = "exec 2>&1; mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"";
    let failed =
        |e: io::Error| Error::Program { what: "run in the build root".to_owned(), why: e.to_string() };
    let mut child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", ENTER])
        .arg(root)
        .args(command)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .env("TMPDIR", "/tmp")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut text = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        let read = String::from_utf8_lossy(&line);
        each(&read);
        text.push_str(&read);
        line.clear();
    }
    Ok(Output { success: child.wait().map_err(failed)?.success(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_their_bases() {
        assert_eq!(base_suite("trixie-backports"), "trixie");
        assert_eq!(base_suite("bullseye"), "bullseye");
        assert_eq!(base_suite("experimental"), "sid");
    }

    #[test]
    fn errors_first() {
        assert_eq!(last_words(b"I: one\nE: two\nI: three\n"), "E: two");
        assert_eq!(last_words(b"a\nb\nc\nd\n"), "b; c; d");
    }
}
