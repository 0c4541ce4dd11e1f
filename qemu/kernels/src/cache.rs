//! The cache directory: its layout, and how several processes share it.
//!
//! ```text
//! archive/<key>/<suite>/     verified indexes of one archive (kernels::archive)
//! pool/<sha256>.deb          packages whose digest was checked
//! kernels/<sha256>-<format>/ unpacked packages
//! extra/<sha256>-<format>/   other packages, unpacked (kernels::extra)
//! roots/<suite>/             build roots for kernel modules (kmod::root)
//! disks/<random>.tmp/        disks of running guests (kmod::disk)
//! kmod/<release>-<digest>/   built kernel modules (kmod)
//! debug/<version>-<digest>/  built debugging kernels (kmod::debug)
//! initramfs/<digest>.cpio    base file systems
//! probe/                     results of probe::probe
//! locks/<name>.lock          advisory locks, never removed
//! ```
//!
//! A file without a `.part` or `.tmp` suffix is complete: everything is written beside its final
//! name and renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The cache directory cannot be determined, created or accessed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `CAIRN_CACHE`, `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("no place for the cache: set CAIRN_CACHE to a directory")]
    NoPlace,
    /// An I/O error in the cache.
    #[error("cache: {action} {}", path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// Path of the file or directory.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}

/// A cache directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `CAIRN_CACHE`, or `cairn` below `XDG_CACHE_HOME` or `~/.cache`.
    ///
    /// # Errors
    /// When none of the three is set, or the directory cannot be created.
    pub fn from_env() -> Result<Cache, Error> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = set("CAIRN_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("cairn")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/cairn")))
            .ok_or(Error::NoPlace)?;
        Cache::at(root)
    }

    /// The cache in this directory, which is created if it is missing.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn at(root: impl Into<PathBuf>) -> Result<Cache, Error> {
        let root = root.into();
        make_dir(&root)?;
        let root = root.canonicalize().map_err(|source| Error::Io {
            action: "resolve",
            path: root.clone(),
            source,
        })?;
        Ok(Cache { root })
    }

    /// The absolute path of the cache directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A subdirectory of the cache, created if it is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn dir(&self, name: &str) -> Result<PathBuf, Error> {
        let dir = self.root.join(name);
        make_dir(&dir)?;
        Ok(dir)
    }

    /// Locks `name` against other processes and threads until the guard is dropped. Blocks.
    ///
    /// # Errors
    /// When the lock file cannot be created or locked.
    pub fn lock(&self, name: &str) -> Result<Lock, Error> {
        let path = self.dir("locks")?.join(format!("{}.lock", name.replace('/', "_")));
        let io = |action| {
            let path = path.clone();
            move |source| Error::Io { action, path, source }
        };
        let file = File::create(&path).map_err(io("create"))?;
        file.lock().map_err(io("lock"))?;
        Ok(Lock(file))
    }
}

/// An advisory lock on one name of the cache; the kernel releases it with the descriptor, also when
/// the process is killed.
pub struct Lock(#[expect(dead_code, reason = "held for its Drop")] File);

fn make_dir(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| Error::Io { action: "create", path: path.to_owned(), source })
}

/// Replaces a file atomically: readers see the old content or the new.
///
/// # Errors
/// [`Error::Io`].
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Error> {
    let error = |action| move |source| Error::Io { action, path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().suffix(".tmp").tempfile_in(dir).map_err(error("create a file beside"))?;
    io::Write::write_all(&mut file, content).map_err(error("write"))?;
    file.persist(path).map_err(|e| Error::Io {
        action: "rename into",
        path: path.to_owned(),
        source: e.error,
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_holds_others_off() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("c")).unwrap();
        let held = cache.lock("a/b").unwrap();
        let file = File::open(cache.root().join("locks/a_b.lock")).unwrap();
        assert!(matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)));
        drop(held);
        file.try_lock().unwrap();
    }

    #[test]
    fn an_atomic_write_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
