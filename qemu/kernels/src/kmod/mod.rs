//! An out-of-tree kernel module, built for a kernel of the archive and kept in the cache.
//!
//! A module is built with the compiler and the kbuild programs of the suite of its kernel. The
//! steps:
//!
//! | step | module |
//! | --- | --- |
//! | headers, kbuild and the compiler they require, verified as kernels are | [`headers`] |
//! | a minimal system of that suite with that compiler, to build in | [`root`] |
//! | `make` in it, every warning an error | here |
//! | a kernel with sanitizers and lock debugging, and modules for it | [`debug`] |
//! | the kernel's coding style | [`checkpatch`] |
//! | that system and the kernel's files on a disk, for a guest that builds modules | [`disk`] |
//!
//! Built modules are cached by release, architecture and a digest of the sources: getting one again
//! needs neither network nor root.

pub mod checkpatch;
pub mod debug;
pub mod disk;
pub mod headers;
pub mod root;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::arch::Arch;
use crate::cache;
use crate::kernels::{self, Candidate, Kernel, Matrix, Options, Origin, fetch, package};
use crate::setup;

/// Version of the build procedure; to be incremented when that changes.
const FORMAT: &str = "v2";

/// The module's file, in the sources after a build and in the cache.
const MODULE: &str = "cairn.ko";

/// Marker file beside a cached module for which sparse gives no warnings.
const SPARSE_CLEAN: &str = "sparse-clean";

/// The kernel to build for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `uname -r`.
    pub release: String,
    /// Its architecture.
    pub arch: Arch,
    /// The suite it comes from; absent for a kernel given by the user.
    pub suite: Option<String>,
    /// The tree it was built in, if it is a debugging kernel of the cache ([`debug`]).
    pub tree: Option<PathBuf>,
}

impl From<&Kernel> for Target {
    fn from(kernel: &Kernel) -> Target {
        let tree = kernel.modules.clone().filter(|dir| kernels::debug::suite_of(dir).is_some());
        Target { release: kernel.release.clone(), arch: kernel.arch, suite: kernel.suite.clone(), tree }
    }
}

impl Target {
    /// The target for a candidate, which need not be fetched.
    pub fn of(candidate: &Candidate, arch: Arch) -> Target {
        let (suite, tree) = match &candidate.origin {
            Origin::Archive { suite, .. } => (Some(suite.clone()), None),
            Origin::Kept(kernel) => (kernel.suite.clone(), None),
            Origin::Local(local) => match kernels::debug::suite_of(local.path()) {
                Some(suite) => (Some(suite), Some(local.path().to_owned())),
                None => (None, None),
            },
        };
        Target { release: candidate.release.clone(), arch, suite, tree }
    }
}

/// A module that is ready to be loaded.
#[derive(Clone, Debug)]
pub struct Built {
    /// The `.ko` file, in the cache.
    pub module: PathBuf,
    /// Whether it was in the cache already.
    pub cached: bool,
}

/// Why a module cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The headers are not available, which says nothing about the module.
    #[error("no headers of {release}: {reason}")]
    NoHeaders {
        /// Release of the kernel.
        release: String,
        /// The reason.
        reason: String,
    },
    /// Only root can create and enter a build root.
    #[error(
        "a kernel module is built in a system of its kernel's suite, and only root can make and enter one"
    )]
    NotRoot,
    /// Offline, and the build root does not exist.
    #[error("the build root of {suite} with {wanted} is not in the cache (run once without --offline)")]
    NoRoot {
        /// The suite.
        suite: String,
        /// The packages it needs.
        wanted: String,
    },
    /// Tools for creating build roots are missing.
    #[error(transparent)]
    Setup(#[from] setup::Error),
    /// The build root cannot be created.
    #[error("make a build root of {suite}: {why}")]
    Root {
        /// The suite.
        suite: String,
        /// The error messages of mmdebstrap.
        why: String,
    },
    /// The compiler, kbuild or sparse reported problems.
    #[error("build the module for {release}: {}", complaints.join("\n    "))]
    Build {
        /// Release of the kernel.
        release: String,
        /// The lines with the problems.
        complaints: Vec<String>,
    },
    /// A required program cannot be run, or failed.
    #[error("{what}: {why}")]
    Program {
        /// Its purpose.
        what: String,
        /// The last lines of its output.
        why: String,
    },
    /// The kernel's packages cannot be obtained.
    #[error(transparent)]
    Kernels(#[from] kernels::Error),
    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}

impl Error {
    /// Whether required files are unavailable, as opposed to a failure.
    pub fn is_absence(&self) -> bool {
        matches!(self, Error::NoHeaders { .. })
    }
}

impl From<cache::Error> for Error {
    fn from(error: cache::Error) -> Error {
        Error::Kernels(error.into())
    }
}

impl From<package::Error> for Error {
    fn from(error: package::Error) -> Error {
        Error::Kernels(error.into())
    }
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

/// Removes a directory if it exists.
pub(crate) fn remove(dir: &Path) -> Result<(), Error> {
    if dir.exists() { fs::remove_dir_all(dir).map_err(io_error("remove", dir)) } else { Ok(()) }
}

/// The module's sources and their digest.
#[derive(Clone, Debug)]
pub struct Sources {
    dir: PathBuf,
    /// Relative to `dir`, sorted, the Makefile last: the order of the digest.
    files: Vec<PathBuf>,
    /// SHA-256 of the contents of all files, which the Makefile also computes and the module
    /// reports.
    pub digest: String,
}

impl Sources {
    /// Reads the sources in a directory: `*.c`, `*.h`, `uapi/*.h` and the Makefile.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(dir: &Path) -> Result<Sources, Error> {
        let mut files = Vec::new();
        for (place, endings) in [("", &["c", "h"] as &[&str]), ("uapi", &["h"])] {
            let whole = dir.join(place);
            for entry in fs::read_dir(&whole).map_err(io_error("list", &whole))? {
                let entry = entry.map_err(io_error("list", &whole))?;
                let name = PathBuf::from(entry.file_name());
                let ending = name.extension().and_then(|e| e.to_str()).unwrap_or_default();
                // kbuild generates such a file in a tree that was built in.
                let made = name.to_string_lossy().ends_with(".mod.c");
                if endings.contains(&ending) && !made {
                    files.push(Path::new(place).join(name));
                }
            }
        }
        // As strings, which is how make sorts them: a path sorts `a/b` before `a.b`.
        files.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        files.push(PathBuf::from("Makefile"));
        let mut content = Vec::new();
        for file in &files {
            let path = dir.join(file);
            content.extend(fs::read(&path).map_err(io_error("read", &path))?);
        }
        Ok(Sources { dir: dir.to_owned(), files, digest: fetch::sha256_hex(&content) })
    }

    /// Copies the sources into a directory, which must not exist.
    pub(crate) fn copy_to(&self, dest: &Path) -> Result<(), Error> {
        for file in &self.files {
            let (from, to) = (self.dir.join(file), dest.join(file));
            let parent = to.parent().unwrap_or(dest);
            fs::create_dir_all(parent).map_err(io_error("create", parent))?;
            fs::copy(&from, &to).map_err(io_error("copy", &from))?;
        }
        Ok(())
    }
}

/// The module for one kernel: from the cache, or built. With `sparse` it is also checked with
/// sparse, and a warning is an error. `options` says where the archive is; its architecture is
/// ignored.
///
/// # Errors
/// [`Error::NoHeaders`] when the headers are not available, [`Error::Build`] when the sources have
/// a problem.
pub fn obtain(
    matrix: &Matrix,
    target: &Target,
    sources: &Sources,
    sparse: bool,
    options: &Options<'_>,
) -> Result<Built, Error> {
    let kept = options.cache.dir("kmod")?;
    let name = target.tree.as_ref().and_then(|tree| tree.file_name()).and_then(|name| name.to_str());
    let kernel = format!("{}-{}-", name.unwrap_or(&target.release), target.arch);
    let dir = kept.join(format!("{kernel}{}-{FORMAT}", &sources.digest[..24]));
    let module = dir.join(MODULE);
    let is_kept = || module.is_file() && (!sparse || dir.join(SPARSE_CLEAN).is_file());
    if is_kept() {
        return Ok(Built { module, cached: true });
    }
    let suite = target.suite.as_deref().ok_or_else(|| Error::NoHeaders {
        release: target.release.clone(),
        reason: "it is a kernel that you brought; build for it with make -C kmod KDIR=…".to_owned(),
    })?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let (packages, debs) = match &target.tree {
        Some(_) => (debug::packages(), Vec::new()),
        None => {
            let found = headers::find(matrix, target, suite, options)?;
            (found.packages, found.debs)
        }
    };
    let root = root::enter(matrix, suite, &packages, options)?;
    // Another process may have built it while this one waited for the root.
    if is_kept() {
        return Ok(Built { module, cached: true });
    }
    for deb in &debs {
        root.unpack(deb)?;
    }
    let headers = match &target.tree {
        Some(tree) => debug::lay_into(&root, tree)?,
        None => PathBuf::from(format!("/usr/src/linux-headers-{}", target.release)),
    };
    options.progress.message(&format!("building {MODULE} for {}", target.release));
    let output = build_in(&root, target, &headers, sources, sparse)?;
    let complaints = complaints(&output.text, sparse);
    let built = root.path().join(BUILD_DIR).join(MODULE);
    if !output.success || !complaints.is_empty() || !built.is_file() {
        let complaints = if complaints.is_empty() { last_lines(&output.text) } else { complaints };
        return Err(Error::Build { release: target.release.clone(), complaints });
    }
    fs::create_dir_all(&dir).map_err(io_error("create", &dir))?;
    let bytes = fs::read(&built).map_err(io_error("read", &built))?;
    cache::write_atomically(&module, &bytes)?;
    if sparse {
        cache::write_atomically(&dir.join(SPARSE_CLEAN), b"")?;
    }
    forget_old(&kept, &kernel)?;
    Ok(Built { module, cached: false })
}

/// Modules built longer ago than this are removed; they are rebuilt when needed.
const KEEP: Duration = Duration::from_secs(6 * 3600);

/// Removes old modules, which would otherwise accumulate with every change of the sources. `kernel`
/// is the prefix of the names of one kernel's modules.
fn forget_old(kept: &Path, kernel: &str) -> Result<(), Error> {
    for entry in fs::read_dir(kept).map_err(io_error("list", kept))? {
        let entry = entry.map_err(io_error("list", kept))?;
        let modified = entry.metadata().and_then(|about| about.modified());
        let old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEEP));
        if old && entry.file_name().to_string_lossy().starts_with(kernel) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

/// Path of the sources in a build root. The same for all, so that builds are reproducible.
const BUILD_DIR: &str = "build";

fn build_in(
    root: &root::Root,
    target: &Target,
    headers: &Path,
    sources: &Sources,
    sparse: bool,
) -> Result<root::Output, Error> {
    let place = root.path().join(BUILD_DIR);
    remove(&place)?;
    sources.copy_to(&place)?;
    let mut make: Vec<String> =
        ["make", "-C", "/build", "modules", "W=1", "KCFLAGS=-Werror"].map(Into::into).into();
    make.push(format!("KDIR={}", headers.display()));
    make.push(format!("CAIRN_SOURCE={}", sources.digest));
    make.push(format!("ARCH={}", kbuild_arch(target.arch)));
    make.push(match target.tree {
        Some(_) => format!("CC={}", debug::COMPILER),
        None => format!("CROSS_COMPILE={}-", target.arch.gnu_triple()),
    });
    if sparse {
        // Debian's headers lack the script with which newer kernels check the version of sparse.
        make.extend(["C=2", "KBUILD_CHECKSRC=2"].map(Into::into));
        make.push(format!("CF={SPARSE_WORDS}"));
    }
    root.run(&make)
}

/// The kernel's name of an architecture in its makefiles.
fn kbuild_arch(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86",
        Arch::Aarch64 => "arm64",
        Arch::Powerpc64le => "powerpc",
    }
}

/// Warnings that are not about the module.
const HARMLESS: &[&str] = &[
    // The programs of a suite are rebuilt occasionally with the same version.
    "the compiler differs from the one used to build the kernel",
    // BTF for BPF, which these modules do not need.
    "pahole version differs from the one used to build the kernel",
];

/// Definitions for keywords of newer kernels that sparse does not know: a type without its
/// qualifiers, and the length of a string as a constant, which `MODULE_INFO()` asserts from 7.2 on.
/// Without them sparse ends in errors, and **after an error it gives no warnings**, so no error of
/// sparse may be ignored.
const SPARSE_WORDS: &str = "-D__typeof_unqual__=__typeof__ -D'__builtin_strlen(x)=(sizeof(x)-1)'";

/// The kernel cannot find its script, and wrongly reports that sparse is missing.
const SPARSE_CANNOT: &[&str] = &["sparse is not available or not up to date", "checker-valid.sh: "];

/// The lines of a build that report a problem in the module.
fn complaints(output: &str, sparse: bool) -> Vec<String> {
    const WORDS: &[&str] = &["warning:", "error:", "undefined!", "not found"];
    let harmless = |line: &str| {
        HARMLESS.iter().any(|words| line.contains(words))
            || (sparse && SPARSE_CANNOT.iter().any(|words| line.contains(words)))
    };
    output
        .lines()
        .filter(|line| {
            let lower = line.to_lowercase();
            WORDS.iter().any(|word| lower.contains(word)) && !harmless(line)
        })
        .map(str::to_owned)
        .collect()
}

/// The last lines of a build that failed without a recognised message.
fn last_lines(output: &str) -> Vec<String> {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(12)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_a_complaint() {
        let output = "  CC [M]  /build/main.o\n\
             warning: the compiler differs from the one used to build the kernel\n\
             /build/main.c:3:5: warning: unused variable 'x' [-Wunused-variable]\n\
             /usr/src/l/Makefile:1311: C=2 specified, but sparse is not available or not up to date\n\
             make[3]: /usr/src/l/scripts/checker-valid.sh: not found\n\
             main.c:35:1: error: bad constant expression\n\
             WARNING: modpost: missing MODULE_LICENSE() in cairn.o\n\
             ERROR: modpost: \"f\" [cairn.ko] undefined!\n\
             /bin/sh: 1: pahole: not found\n\
             Skipping BTF generation for cairn.ko due to unavailability of vmlinux\n";
        assert_eq!(complaints(output, false).len(), 6);
        let with_sparse = complaints(output, true);
        assert_eq!(with_sparse.len(), 5, "{with_sparse:?}");
        assert!(complaints("  LD [M]  cairn.ko\n", true).is_empty());
    }

    #[test]
    fn old_modules_of_one_kernel_go() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["6.1-x86_64-a", "6.1-x86_64-b", "6.12-x86_64-a"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let long_ago = std::time::SystemTime::now() - 2 * KEEP;
        for name in ["6.1-x86_64-a", "6.12-x86_64-a"] {
            fs::File::open(dir.path().join(name)).unwrap().set_modified(long_ago).unwrap();
        }
        forget_old(dir.path(), "6.1-x86_64-").unwrap();
        let left = |name: &str| dir.path().join(name).exists();
        assert!(!left("6.1-x86_64-a") && left("6.1-x86_64-b") && left("6.12-x86_64-a"));
    }

    #[test]
    fn a_kept_module_needs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Makefile"), "m").unwrap();
        fs::create_dir(dir.path().join("uapi")).unwrap();
        let sources = Sources::read(dir.path()).unwrap();
        let cache = crate::Cache::at(dir.path().join("cache")).unwrap();
        let options = Options {
            arch: Arch::X86_64,
            mirror: Some("file:/nowhere".to_owned()),
            keyring: None,
            offline: true,
            cache: &cache,
            progress: &crate::progress::Silent,
        };
        let matrix = Matrix::parse(
            Path::new("matrix.toml"),
            "[[kernel]]\nseries='6.1'\narch=['x86_64']\nsources=[{suite='a'}]",
        )
        .unwrap();
        let target = |suite: Option<&str>| Target {
            release: "6.1-t".to_owned(),
            arch: Arch::X86_64,
            suite: suite.map(str::to_owned),
            tree: None,
        };
        let obtain = |suite, sparse| obtain(&matrix, &target(suite), &sources, sparse, &options);
        assert!(obtain(None, false).unwrap_err().is_absence());
        let place = cache.root().join(format!("kmod/6.1-t-x86_64-{}-{FORMAT}", &sources.digest[..24]));
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(MODULE), "module").unwrap();
        assert!(obtain(Some("a"), false).unwrap().cached);
        assert!(obtain(Some("a"), true).is_err(), "sparse has not seen it");
        fs::write(place.join(SPARSE_CLEAN), "").unwrap();
        assert!(obtain(Some("a"), true).unwrap().cached);
    }

    #[test]
    fn sources_are_known_by_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir(dir.path().join("uapi")).unwrap();
        write("Makefile", "m");
        write("b.c", "b");
        write("a.h", "a");
        write("uapi/c.h", "c");
        write("cairn.mod.c", "made");
        write("README.md", "text");
        let sources = Sources::read(dir.path()).unwrap();
        assert_eq!(sources.digest, fetch::sha256_hex(b"abcm"));
        let copy = dir.path().join("copy");
        sources.copy_to(&copy).unwrap();
        assert_eq!(Sources::read(&copy).unwrap().digest, sources.digest);
        write("b.c", "x");
        assert_ne!(Sources::read(dir.path()).unwrap().digest, sources.digest);
    }
}
