//! A disk for one guest, with the whole system of a suite as somebody has it who installed a kernel
//! and its headers.
//!
//! It is a copy of the build root. The kernel's modules are laid in from its package and indexed by
//! depmod, which installing the package would do as well; its headers are in the root already,
//! unpacked ([`super::headers`] says why), and get the links that their package has for them.
//! Whoever boots it writes into the copy alone.

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

/// Where the module's sources lie on the disk, as in a copy of the repository.
pub const SOURCES: &str = "/srv/cairn/kmod";

/// As large as the disk claims to be. What nobody writes takes no room.
const SIZE: &str = "4G";

/// In a disk's directory, locked by whoever uses it.
const ALIVE: &str = "alive";

/// What the disk holds besides the suite's system.
pub struct Wanted<'a> {
    /// Packages of the suite, beside those that build modules.
    pub packages: &'a [&'a str],
    /// The module's sources, which come to [`SOURCES`] with its `dkms.conf`.
    pub sources: &'a Sources,
    /// Further files: on this machine, and where they come to. All are executable.
    pub programs: &'a [(&'a Path, &'a str)],
}

/// A disk; gone when this is dropped.
pub struct Disk {
    dir: TempDir,
    _alive: File,
}

impl Disk {
    /// Its raw image.
    pub fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }
}

/// Makes the disk for a guest of `kernel`, which is of this machine's architecture.
///
/// # Errors
/// [`Error::NoHeaders`] when the kernel has no headers or no modules to be had.
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
        // Nobody may take for dead what is only about to be locked.
        let _lock = options.cache.lock("disks")?;
        sweep(&disks)?;
        claim(&disks)?
    };
    let disk = Disk { dir, _alive: alive };
    let system = disk.dir.path().join("system");
    // Links do for the time until the image is written: nothing below changes a file in place.
    link_tree(root.path(), &system)?;
    install(&system, kernel, modules)?;
    lay_in(&system, wanted)?;
    let mut mke2fs = Command::new("mke2fs");
    // Without a journal and with inode tables that the kernel need not fill: it lives for minutes.
    mke2fs.args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "lazy_itable_init=1"]);
    run_here(mke2fs.arg("-d").arg(&system).arg(disk.image()).arg(SIZE), "write a disk")?;
    fs::remove_dir_all(&system).map_err(io_error("remove", &system))?;
    Ok(disk)
}

/// What installing the packages of a kernel and its headers does below `/lib/modules`.
fn install(system: &Path, kernel: &Kernel, modules: &Path) -> Result<(), Error> {
    let release = &kernel.release;
    // By way of `/lib`, which is a link in newer suites and a directory in older ones.
    let place = system.join("lib/modules").join(release);
    fs::create_dir_all(&place).map_err(io_error("create", &place))?;
    link_tree(modules, &place)?;
    let build = place.join("build");
    // From trixie on these links are below /usr in their package, and were unpacked with the rest.
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

/// Beside the sources.
const DKMS_CONF: &str = "dkms.conf";

/// Copies what a directory holds into another one, as hard links to the same files.
fn link_tree(from: &Path, to: &Path) -> Result<(), Error> {
    let everything = from.join(".");
    run_here(Command::new("cp").args(["--archive", "--link", "-T"]).arg(&everything).arg(to), "copy a system")
}

/// A directory that is ours for as long as its lock is held.
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

/// Removes what was left by runs that were killed: nobody holds its lock.
fn sweep(disks: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(disks).map_err(io_error("list", disks))? {
        let path = entry.map_err(io_error("list", disks))?.path();
        let in_use = File::open(path.join(ALIVE))
            .is_ok_and(|alive| matches!(alive.try_lock(), Err(fs::TryLockError::WouldBlock)));
        if !in_use {
            match fs::remove_dir_all(&path) {
                // Its owner may be done with it just now.
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
