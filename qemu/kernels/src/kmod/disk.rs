//! A disk for one guest: the system of a suite as on a machine where a kernel and its headers are
//! installed.
//!
//! It is a copy of the build root. The kernel's modules are copied from its package and indexed by
//! depmod, as installing the package would do; its headers are in the root already, unpacked
//! ([`super::headers`] says why), and get the symbolic links of their package. A guest writes only
//! to the copy.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::root::{self, last_words, run_here, run_in};
use super::{Error, Sources, Target, headers, io_error};
use crate::kernels::{Kernel, Matrix, Options};
use crate::setup::{self, Need};

/// Path of the module's sources on the disk, as in a copy of the repository.
pub const SOURCES: &str = "/srv/cairn/kmod";

/// Size of the disk. The image is sparse.
const SIZE: &str = "4G";

/// Lock file in a disk's directory, held while the disk is in use.
const ALIVE: &str = "alive";

/// The contents of the disk besides the suite's system.
pub struct Wanted<'a> {
    /// Packages of the suite, besides those for building modules.
    pub packages: &'a [&'a str],
    /// The module's sources, which are copied to [`SOURCES`] with its `dkms.conf`.
    pub sources: &'a Sources,
    /// Further files: path on this machine and path on the disk. All are executable.
    pub programs: &'a [(&'a Path, &'a str)],
}

/// A disk; removed when this is dropped.
pub struct Disk {
    dir: TempDir,
    _alive: File,
}

impl Disk {
    /// Path of the raw image.
    pub fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }
}

/// Creates the disk for a guest of `kernel`, which has this machine's architecture.
///
/// # Errors
/// [`Error::NoHeaders`] when headers or modules of the kernel are not available.
pub fn make(
    matrix: &Matrix,
    kernel: &Kernel,
    wanted: &Wanted<'_>,
    options: &Options<'_>,
) -> Result<Disk, Error> {
    let absent =
        |reason: &str| Error::NoHeaders { release: kernel.release.clone(), reason: reason.to_owned() };
    let suite = kernel.suite.as_deref().ok_or_else(|| absent("it is a kernel that you brought"))?;
    let modules = kernel.modules.as_deref().ok_or_else(|| absent("its modules are not to be had"))?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    setup::ensure(&[Need::MKE2FS], options.offline, options.progress)?;
    let headers = headers::find(matrix, &Target::from(kernel), suite, options)?;
    let packages: Vec<String> =
        headers.packages.iter().cloned().chain(wanted.packages.iter().map(|&name| name.to_owned())).collect();
    let root = root::enter(matrix, suite, &packages, options)?;
    for deb in &headers.debs {
        root.unpack(deb)?;
    }
    options.progress.message(&format!("making a disk with {} and {}", kernel.release, packages.join(", ")));
    let disks = options.cache.dir("disks")?;
    let (dir, alive) = {
        // Keeps others from removing the directory before it is locked.
        let _lock = options.cache.lock("disks")?;
        sweep(&disks)?;
        claim(&disks)?
    };
    let disk = Disk { dir, _alive: alive };
    let system = disk.dir.path().join("system");
    // Hard links suffice until the image is written: nothing below changes a file in place.
    link_tree(root.path(), &system)?;
    install(&system, kernel, modules)?;
    lay_in(&system, wanted)?;
    let mut mke2fs = Command::new("mke2fs");
    // Without a journal and with inode tables that the kernel need not initialise: it is used for
    // minutes.
    mke2fs.args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "lazy_itable_init=1"]);
    run_here(mke2fs.arg("-d").arg(&system).arg(disk.image()).arg(SIZE), "write a disk")?;
    fs::remove_dir_all(&system).map_err(io_error("remove", &system))?;
    Ok(disk)
}

/// Does what installing the packages of a kernel and its headers does below `/lib/modules`.
fn install(system: &Path, kernel: &Kernel, modules: &Path) -> Result<(), Error> {
    let release = &kernel.release;
    // Through `/lib`, which is a link in newer suites and a directory in older ones.
    let place = system.join("lib/modules").join(release);
    fs::create_dir_all(&place).map_err(io_error("create", &place))?;
    link_tree(modules, &place)?;
    let build = place.join("build");
    // From trixie on these links are below /usr in their package, and are already unpacked.
    if build.symlink_metadata().is_err() {
        let headers = format!("/usr/src/linux-headers-{release}");
        symlink(&headers, &build).map_err(io_error("link", &build))?;
    }
    let output = run_in(system, &["depmod".to_owned(), release.clone()])?;
    if output.success {
        Ok(())
    } else {
        Err(Error::Program { what: format!("depmod {release}"), why: last_words(output.text.as_bytes()) })
    }
}

fn lay_in(system: &Path, wanted: &Wanted<'_>) -> Result<(), Error> {
    let below = |path: &str| system.join(path.trim_start_matches('/'));
    wanted.sources.copy_to(&below(SOURCES))?;
    let conf = wanted.sources.dir.join(DKMS_CONF);
    fs::copy(&conf, below(SOURCES).join(DKMS_CONF)).map_err(io_error("copy", &conf))?;
    for (from, to) in wanted.programs {
        let to = below(to);
        let parent = to.parent().unwrap_or(system);
        fs::create_dir_all(parent).map_err(io_error("create", parent))?;
        run_here(Command::new("install").args(["-m", "755", "-T"]).arg(from).arg(&to), "copy a program")?;
    }
    Ok(())
}

/// File beside the sources.
const DKMS_CONF: &str = "dkms.conf";

/// Copies the contents of a directory into another one, as hard links to the same files.
fn link_tree(from: &Path, to: &Path) -> Result<(), Error> {
    let everything = from.join(".");
    run_here(Command::new("cp").args(["--archive", "--link", "-T"]).arg(&everything).arg(to), "copy a system")
}

/// Creates a directory that is in use for as long as its lock is held.
fn claim(disks: &Path) -> Result<(TempDir, File), Error> {
    let dir = tempfile::Builder::new()
        .suffix(".tmp")
        .tempdir_in(disks)
        .map_err(io_error("create a directory in", disks))?;
    let path = dir.path().join(ALIVE);
    let alive = File::create(&path).map_err(io_error("create", &path))?;
    alive.lock().map_err(io_error("lock", &path))?;
    Ok((dir, alive))
}

/// Removes directories left by killed runs: their lock is not held.
fn sweep(disks: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(disks).map_err(io_error("list", disks))? {
        let path = entry.map_err(io_error("list", disks))?.path();
        let in_use = File::open(path.join(ALIVE))
            .is_ok_and(|alive| matches!(alive.try_lock(), Err(fs::TryLockError::WouldBlock)));
        if !in_use {
            match fs::remove_dir_all(&path) {
                // Its owner may be removing it concurrently.
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", &path)(e)),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_uses_is_swept() {
        let disks = tempfile::tempdir().unwrap();
        let (used, _alive) = claim(disks.path()).unwrap();
        let (left, alive) = claim(disks.path()).unwrap();
        let left = left.keep();
        drop(alive);
        sweep(disks.path()).unwrap();
        assert!(used.path().is_dir() && !left.exists());
    }
}
