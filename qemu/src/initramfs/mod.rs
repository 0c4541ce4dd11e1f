//! The guest's file system: a cpio archive with PID 1, programs, their libraries, and kernel
//! modules.
//!
//! An initramfs consists of two archives. The *base* contains everything that is the same for every
//! job on a kernel; [`Builder`] creates it once and caches it under the digest of its content. The
//! *job* archive is small and is appended to it: see [`write_for_job`]. The kernel unpacks them one
//! after the other (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! PID 1 is the program `cairn-init` of this crate, preferably linked statically:
//!
//! ```text
//! export RUSTFLAGS="-C target-feature=+crt-static"
//! cargo build --release --target x86_64-unknown-linux-gnu \
//!     -p cairn-qemu --bin cairn-init --no-default-features --features init
//! ```

mod builder;
mod cpio;
mod elf;
mod libs;
mod modules;
mod shell;

pub use builder::Builder;
pub use libs::{arch_of, needed};
pub use shell::add_shell;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::cache;
use crate::job::{GuestJob, JOB_PATH};
use crate::kernels::Kernel;

/// Why an initramfs cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input file cannot be read, or the archive cannot be written.
    #[error("initramfs: {action} {}", path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// An error of the cache.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A program's loader or libraries cannot be found.
    #[error("initramfs: {}: {what}", path.display())]
    Program {
        /// Path of the program.
        path: PathBuf,
        /// The problem.
        what: String,
    },
    /// A library requested by name is not on this machine.
    #[error("initramfs: library {0} is not installed")]
    Library(String),
    /// A requested module is neither a file nor built in.
    #[error("initramfs: kernel {release} has no module {module}, neither built in nor loadable")]
    Module {
        /// Release of the kernel.
        release: String,
        /// Name of the module.
        module: String,
    },
    /// A module's file cannot be read.
    #[error("initramfs: module {}: {what}", path.display())]
    BadModule {
        /// Path of the file.
        path: PathBuf,
        /// The problem.
        what: String,
    },
    /// A path is hidden by a file system that PID 1 mounts.
    #[error("initramfs: {0} lies below a directory that PID 1 mounts a file system on")]
    Hidden(String),
    /// Two different files have the same path.
    #[error("initramfs: {0} is given twice with different content")]
    Conflict(String),
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

/// Writes the initramfs of one boot: the base, followed by the archive with the job and its files.
///
/// # Errors
/// When the base cannot be read or the initramfs cannot be written.
pub fn write_for_job(base: &Path, job: &GuestJob, dest: &Path) -> Result<(), Error> {
    let mut tree = cpio::Tree::default();
    let json = serde_json::to_vec(job).expect("plain data serialises");
    tree.put(JOB_PATH, cpio::Node::Bytes { data: json, mode: 0o600 })?;
    for file in &job.files {
        tree.put(&file.path, cpio::Node::Bytes { data: file.data.clone(), mode: file.mode })?;
    }
    fs::copy(base, dest).map_err(io_error("copy the base to", dest))?;
    let mut out = File::options().append(true).open(dest).map_err(io_error("open", dest))?;
    tree.write(&mut out).map_err(|e| e.at(dest))?;
    Ok(())
}

/// Prefix of the name of a kernel's base in the cache, for human readers.
fn label(kernel: &Kernel) -> String {
    kernel
        .release
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect()
}
