//! Packages of the archive other than kernels, which the harness unpacks itself, verified in the
//! same way: the standard library's sources for cross builds, a shell for guests of another
//! architecture, the kernel's `checkpatch.pl`, and its user-space headers.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::index::Package;
use super::matrix::Matrix;
use super::names::{BUSYBOX, KERNEL_SOURCE, PROGRAM_HEADERS, RUST_SRC, is_kernel_source};
use super::version::{Series, compare_debian};
use super::{Error, Options, fetch, locate, package, unpack};
use crate::cache;

/// Version of the layout of an unpacked package; to be incremented when that changes.
const LAYOUT: &str = "v2";

/// The directory `library` with the standard library's sources of exactly this compiler version
/// (`1.95.0`), from the suites that the matrix lists for tools. `options.arch` is the architecture
/// to build on; the package is the same for all.
///
/// # Errors
/// [`Error::NoPackage`] when no suite serves that version, or when fetching or unpacking fails.
pub fn rust_src(matrix: &Matrix, version: &str, options: &Options<'_>) -> Result<PathBuf, Error> {
    let suites: Vec<&str> = matrix.toolchain.suites.iter().map(String::as_str).collect();
    let archive = locate::open_archive(matrix, options)?;
    let found = find(&archive, RUST_SRC, &suites, &|package| upstream(&package.version) == version)?;
    let sources = format!("usr/src/rustc-{version}/library");
    let dir = unpacked(&found, "library", &archive, options, &|deb, dest| {
        package::unpack_files(deb, &[&sources], dest)
    })?;
    Ok(dir.join(sources))
}

/// A statically linked busybox for guests of `options.arch`, the newest of the first suite that has
/// one.
///
/// # Errors
/// [`Error::NoPackage`] when no suite has one, or when fetching or unpacking fails.
pub fn busybox(matrix: &Matrix, options: &Options<'_>) -> Result<PathBuf, Error> {
    const PLACES: [&str; 2] = ["usr/bin/busybox", "bin/busybox"];
    let suites: Vec<&str> = matrix.toolchain.suites.iter().map(String::as_str).collect();
    let archive = locate::open_archive(matrix, options)?;
    let found = find(&archive, BUSYBOX, &suites, &|_| true)?;
    let dir = unpacked(&found, "program", &archive, options, &|deb, dest| {
        package::unpack_files(deb, &PLACES, dest)
    })?;
    PLACES.map(|place| dir.join(place)).into_iter().find(|file| file.is_file()).ok_or_else(|| {
        Error::NoPackage { wanted: BUSYBOX.to_owned(), reason: format!("{} holds none", found.filename) }
    })
}

/// `checkpatch.pl`, with the word lists that it reads, of the newest kernel sources in the suites
/// that the matrix lists for tools. No smaller package contains it.
///
/// # Errors
/// [`Error::NoPackage`] when no suite serves any, or when fetching or unpacking fails.
pub fn checkpatch(matrix: &Matrix, options: &Options<'_>) -> Result<PathBuf, Error> {
    const PLACES: [&str; 3] =
        ["scripts/checkpatch.pl", "scripts/spelling.txt", "scripts/const_structs.checkpatch"];
    let archive = locate::open_archive(matrix, options)?;
    let found = newest(&archive, matrix, &format!("{KERNEL_SOURCE}…"), &is_kernel_source)?;
    let tree = format!("usr/src/{}.tar.xz", found.name);
    let dir = unpacked(&found, "checkpatch", &archive, options, &|deb, dest| {
        package::unpack_inner_files(deb, &tree, &PLACES, dest)
    })?;
    Ok(dir.join(PLACES[0]))
}

/// The kernel's user-space headers as packaged in the archive.
#[derive(Clone, Debug)]
pub struct ProgramHeaders {
    /// The package's version.
    pub version: String,
    /// The directory the package was unpacked into.
    pub root: PathBuf,
}

/// The newest user-space headers in the suites that the matrix lists for tools.
///
/// # Errors
/// [`Error::NoPackage`] when no suite serves any, or when fetching or unpacking fails.
pub fn program_headers(matrix: &Matrix, options: &Options<'_>) -> Result<ProgramHeaders, Error> {
    const PLACES: [&str; 3] = ["usr/include/linux", "usr/include/asm-generic", "usr/lib/linux/uapi"];
    let archive = locate::open_archive(matrix, options)?;
    let found = newest(&archive, matrix, PROGRAM_HEADERS, &|name| name == PROGRAM_HEADERS)?;
    let root = unpacked(&found, "headers", &archive, options, &|deb, dest| {
        package::unpack_files(deb, &PLACES, dest)
    })?;
    Ok(ProgramHeaders { version: found.version, root })
}

/// The sources of a kernel as packaged in the archive.
#[derive(Clone, Debug)]
pub struct KernelSource {
    /// The package's version.
    pub version: String,
    /// A `.tar.xz` with one top-level directory.
    pub tarball: PathBuf,
}

/// The newest sources of a series in a suite.
///
/// # Errors
/// [`Error::NoPackage`] when the suite has none, or when fetching or unpacking fails.
pub fn kernel_source(
    matrix: &Matrix,
    suite: &str,
    series: Series,
    options: &Options<'_>,
) -> Result<KernelSource, Error> {
    let archive = locate::open_archive(matrix, options)?;
    let found = find(&archive, &format!("{KERNEL_SOURCE}{series}"), &[suite], &|_| true)?;
    tarball(found, &archive, options)
}

/// The newest sources in the suites that the matrix lists for tools.
///
/// # Errors
/// [`Error::NoPackage`] when no suite serves any, or when fetching or unpacking fails.
pub fn newest_kernel_source(matrix: &Matrix, options: &Options<'_>) -> Result<KernelSource, Error> {
    let archive = locate::open_archive(matrix, options)?;
    let found = newest(&archive, matrix, &format!("{KERNEL_SOURCE}…"), &is_kernel_source)?;
    tarball(found, &archive, options)
}

fn tarball(found: Package, archive: &Archive<'_>, options: &Options<'_>) -> Result<KernelSource, Error> {
    let tarball = format!("usr/src/{}.tar.xz", found.name);
    let dir = unpacked(&found, "tarball", archive, options, &|deb, dest| {
        package::unpack_files(deb, &[&tarball], dest)
    })?;
    Ok(KernelSource { version: found.version, tarball: dir.join(tarball) })
}

/// The upstream version without Debian's additions: `1.95.0` for `1:1.95.0+dfsg1-2~bpo13+1`.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    &version[..end]
}

/// The newest package of this name that is `wanted`, in the first suite that has one.
fn find(
    archive: &Archive<'_>,
    name: &str,
    suites: &[&str],
    wanted: &dyn Fn(&Package) -> bool,
) -> Result<Package, Error> {
    let mut reasons: Vec<String> = Vec::new();
    for suite in suites {
        let packages = match archive.packages(suite) {
            Ok(packages) => packages,
            Err(e) if e.is_absence() => {
                reasons.push(e.to_string());
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let of_name: Vec<Package> = packages.into_iter().filter(|package| package.name == name).collect();
        let best = of_name.iter().filter(|package| wanted(package));
        if let Some(package) = best.max_by(|a, b| compare_debian(&a.version, &b.version)) {
            return Ok(package.clone());
        }
        let versions: Vec<&str> = of_name.iter().map(|package| package.version.as_str()).collect();
        let has = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
        reasons.push(format!("{suite} has {has}"));
    }
    Err(Error::NoPackage { wanted: name.to_owned(), reason: reasons.join("; ") })
}

/// The newest package with such a name in all suites that the matrix lists for tools.
fn newest(
    archive: &Archive<'_>,
    matrix: &Matrix,
    wanted: &str,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<Package, Error> {
    let mut found: Option<Package> = None;
    for suite in &matrix.toolchain.suites {
        let packages = match archive.packages(suite) {
            Err(e) if e.is_absence() => continue,
            other => other?,
        };
        let such = packages.into_iter().filter(|package| is_wanted(&package.name));
        found = found.into_iter().chain(such).max_by(|a, b| compare_debian(&a.version, &b.version));
    }
    found.ok_or_else(|| Error::NoPackage {
        wanted: wanted.to_owned(),
        reason: format!("none in {}", matrix.toolchain.suites.join(", ")),
    })
}

/// The directory with the files that `lay_out` extracts from a package, which is fetched and
/// unpacked unless it is cached. `part` distinguishes several extractions of one package.
fn unpacked(
    found: &Package,
    part: &str,
    archive: &Archive<'_>,
    options: &Options<'_>,
    lay_out: &dyn Fn(&Path, &Path) -> Result<(), package::Error>,
) -> Result<PathBuf, Error> {
    let parent = options.cache.dir("extra")?;
    let key = format!("{}-{part}-{LAYOUT}", &found.sha256[..32]);
    let dir = parent.join(&key);
    let _lock = options.cache.lock(&format!("extra-{key}"))?;
    if dir.is_dir() {
        return Ok(dir);
    }
    let deb = unpack::fetch_package(found, archive.base(), options)?;
    options.progress.message(&format!("unpacking {} {}", found.name, found.version));
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| cache::Error::Io { action, path, source }
    };
    let staging = tempfile::Builder::new()
        .suffix(".tmp")
        .tempdir_in(&parent)
        .map_err(io("create a directory in", &parent))?;
    lay_out(&deb, staging.path())?;
    let staged = staging.keep();
    if let Err(source) = fs::rename(&staged, &dir) {
        // Remove the staging directory; the error to report is that of the rename.
        let _ = fs::remove_dir_all(&staged);
        return Err(io("rename into", &dir)(source).into());
    }
    // The package itself is no longer needed.
    fs::remove_file(&deb).map_err(|source| fetch::Error::Io { action: "remove", path: deb, source })?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1.95.0+dfsg1-2~bpo13+1", "1.95.0")]
    #[case("1.85.1+dfsg1-1+deb13u1", "1.85.1")]
    #[case("1:1.37.0-6+b9", "1.37.0")]
    #[case("1.95.0~beta.2-1", "1.95.0")]
    #[case("1.95.0", "1.95.0")]
    #[case("", "")]
    fn upstream_versions(#[case] version: &str, #[case] wanted: &str) {
        assert_eq!(upstream(version), wanted);
    }
}
