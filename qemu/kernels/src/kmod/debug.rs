//! The debugging kernel: built from the archive's sources with sanitizers and lock debugging
//! enabled.
//!
//! It is built in the build root of its suite, from the package with that series' sources and with
//! the options of [`OPTIONS`] only: options not listed there are off. The cache keeps a build tree
//! with the image and the files needed to build modules. To the other modules it is an ordinary
//! kernel in a build tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::root::{self, Root, run_here};
use super::{Error, io_error, remove};
use crate::kernels::debug::{NAME, OPTIONS, SERIES, SUITE, SUITE_MARK, find, suffix};
use crate::kernels::{Matrix, Options, extra};

/// Packages of the build root beyond those for building modules.
const PACKAGES: &[&str] = &["gcc-14", "bc", "bison", "flex", "libelf-dev"];
pub(super) const COMPILER: &str = "gcc-14";

/// Path of the sources in the root.
const BUILD_DIR: &str = "kernel";

/// The files needed to build modules and to boot; the rest of the tree is discarded.
const KEPT: &[&str] = &[
    ".config",
    "Makefile",
    "Module.symvers",
    "System.map",
    "modules.builtin",
    "modules.order",
    "include",
    "scripts",
    "arch/x86/Makefile",
    "arch/x86/Makefile.um",
    "arch/x86/Makefile_32.cpu",
    "arch/x86/boot/bzImage",
    "arch/x86/include",
    "tools/objtool/objtool",
];

/// A built debugging kernel.
#[derive(Clone, Debug)]
pub struct Built {
    /// Path of the build tree in the cache.
    pub tree: PathBuf,
    /// Whether it was in the cache already.
    pub cached: bool,
}

/// Packages added to the root to build modules for it.
pub(super) fn packages() -> Vec<String> {
    PACKAGES.iter().map(|name| (*name).to_owned()).collect()
}

/// Builds it from the newest sources, unless it is cached. Takes about twenty minutes of processor
/// time and five GiB of disk, of which 300 MiB are kept.
///
/// # Errors
/// [`Error::Build`] when it does not compile, or one of the options is not in the resulting
/// configuration.
pub fn obtain(matrix: &Matrix, options: &Options<'_>) -> Result<Built, Error> {
    if options.offline {
        let tree = find(options.cache)?;
        let none = || Error::NoRoot { suite: SUITE.to_owned(), wanted: "a debugging kernel".to_owned() };
        return Ok(Built { tree: tree.ok_or_else(none)?, cached: true });
    }
    let sources = extra::kernel_source(matrix, SUITE, SERIES, options)?;
    let tree = options.cache.dir(NAME)?.join(format!("{}{}", sources.version, suffix()));
    if tree.is_dir() {
        return Ok(Built { tree, cached: true });
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let root = root::enter(matrix, SUITE, &packages(), options)?;
    if tree.is_dir() {
        return Ok(Built { tree, cached: true });
    }
    let place = root.path().join(BUILD_DIR);
    remove(&place)?;
    fs::create_dir(&place).map_err(io_error("create", &place))?;
    options.progress.message(&format!("unpacking the sources of {}", sources.version));
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--strip-components=1", "-C"]).arg(&place).arg("--file").arg(&sources.tarball);
    run_here(&mut tar, "unpack a kernel's sources")?;
    build(&root, &place, &sources.version, options)?;
    keep(&place, &tree)?;
    remove(&place)?;
    Ok(Built { tree, cached: false })
}

fn build(root: &Root, place: &Path, version: &str, options: &Options<'_>) -> Result<(), Error> {
    let ours = place.join("cairn.config");
    fs::write(&ours, OPTIONS).map_err(io_error("write", &ours))?;
    let make = |words: &[&str]| -> Vec<String> {
        let compilers = [format!("CC={COMPILER}"), format!("HOSTCC={COMPILER}")];
        let dir = format!("/{BUILD_DIR}");
        let all = ["make", "-C", &dir, "ARCH=x86"].into_iter().chain(words.iter().copied());
        all.map(str::to_owned).chain(compilers).collect()
    };
    let failed = |complaints| Error::Build { release: format!("{version}-{NAME}"), complaints };
    let output = root.run(&make(&["KCONFIG_ALLCONFIG=cairn.config", "allnoconfig"]))?;
    if !output.success {
        return Err(failed(super::last_lines(&output.text)));
    }
    let config = place.join(".config");
    let config = fs::read_to_string(&config).map_err(io_error("read", &config))?;
    let lost = lost(OPTIONS, &config);
    if !lost.is_empty() {
        return Err(failed(lost));
    }
    let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
    options.progress.message(&format!("compiling {version}-{NAME}: some twenty minutes of processor time"));
    let mut compiled = 0u32;
    let output = root.run_and_tell(&make(&[&format!("-j{jobs}"), "bzImage", "modules"]), &mut |line| {
        const EVERY: u32 = 250;
        if line.trim_start().starts_with("CC ") {
            compiled += 1;
            if compiled.is_multiple_of(EVERY) {
                options.progress.message(&format!("compiled {compiled} files"));
            }
        }
    })?;
    if output.success { Ok(()) } else { Err(failed(super::last_lines(&output.text))) }
}

/// The lines of `wanted` that are not satisfied by a configuration.
fn lost(wanted: &str, config: &str) -> Vec<String> {
    let has: std::collections::BTreeSet<&str> = config.lines().collect();
    let holds = |line: &str| match line.strip_prefix("# ").and_then(|line| line.strip_suffix(" is not set")) {
        // Options whose dependencies are not met are not mentioned.
        Some(option) => !config.contains(&format!("\n{option}=")),
        None => has.contains(line),
    };
    let lines = wanted.lines().filter(|line| line.starts_with("CONFIG_") || line.starts_with("# CONFIG_"));
    lines.filter(|line| !holds(line)).map(|line| format!("{line} does not hold")).collect()
}

/// Moves the kept files into the cache, under their final name once they are complete.
fn keep(place: &Path, tree: &Path) -> Result<(), Error> {
    let parent = tree.parent().unwrap_or(tree);
    let staging = tempfile::Builder::new()
        .suffix(".tmp")
        .tempdir_in(parent)
        .map_err(io_error("create a directory in", parent))?;
    for kept in KEPT {
        let (from, to) = (place.join(kept), staging.path().join(kept));
        let above = to.parent().unwrap_or(&to);
        fs::create_dir_all(above).map_err(io_error("create", above))?;
        copy(&from, &to)?;
    }
    let mark = staging.path().join(SUITE_MARK);
    fs::write(&mark, SUITE).map_err(io_error("write", &mark))?;
    fs::rename(staging.path(), tree).map_err(io_error("rename into", tree))?;
    // It has been renamed; there is nothing left to remove.
    let _ = staging.keep();
    Ok(())
}

/// Copies a tree into a build root, to build modules with, unless it is there.
pub(super) fn lay_into(root: &Root, tree: &Path) -> Result<PathBuf, Error> {
    let name = tree.file_name().unwrap_or_default();
    let within = Path::new("usr/src").join(name);
    let place = root.path().join(&within);
    if !place.is_dir() {
        let beside = place.with_extension("part");
        remove(&beside)?;
        let above = root.path().join("usr/src");
        fs::create_dir_all(&above).map_err(io_error("create", &above))?;
        copy(tree, &beside)?;
        fs::rename(&beside, &place).map_err(io_error("rename into", &place))?;
    }
    Ok(Path::new("/").join(within))
}

/// Copies a file or a tree with its attributes, possibly to another file system.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    run_here(Command::new("cp").args(["-a", "--"]).arg(from).arg(to), "copy a kernel's tree")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_do_not_hold_are_named() {
        let wanted = "# words\nCONFIG_A=y\n# CONFIG_B is not set\n\nCONFIG_C=\"-x\"\n# CONFIG_D is not set\n";
        let config = "#\n# CONFIG_A is not set\nCONFIG_C=\"-x\"\nCONFIG_D=m\nCONFIG_BB=y\n";
        assert_eq!(lost(wanted, config), ["CONFIG_A=y does not hold", "# CONFIG_D is not set does not hold"]);
        assert!(lost(wanted, "CONFIG_A=y\nCONFIG_C=\"-x\"\n").is_empty());
    }

    #[test]
    fn the_options_name_nothing_twice() {
        let mut names: Vec<&str> = OPTIONS
            .lines()
            .filter(|line| line.contains("CONFIG_"))
            .map(|line| line.trim_start_matches("# ").split(['=', ' ']).next().unwrap_or_default())
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all > 100, "only {all} options");
    }
}
