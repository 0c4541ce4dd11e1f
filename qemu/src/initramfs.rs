//! The guest's file system: a cpio archive with PID 1, programs and what they load, and kernel
//! modules.
//!
//! Two archives make an initramfs. The *base* holds everything that is the same for every job on a
//! kernel; [`Builder`] makes it once and keeps it in the cache under the digest of its content. The
//! *job* archive is small and goes behind it: see [`write_for_job`]. The kernel unpacks them one
//! after the other (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! PID 1 is the program `cairn-init` of this crate, best linked statically:
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
use crate::job::{JOB_PATH, Job};
use crate::kernels::Kernel;

/// Why there is no initramfs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that should go in cannot be read, or the archive not be written.
    #[error("initramfs: {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A program's loader or libraries cannot be found.
    #[error("initramfs: {}: {what}", path.display())]
    Program {
        /// Which program.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A library that was asked for by name is not on this machine.
    #[error("initramfs: library {0} is not installed")]
    Library(String),
    /// A module that was asked for is neither a file nor built in.
    #[error("initramfs: kernel {release} has no module {module}, neither built in nor loadable")]
    Module {
        /// Which kernel.
        release: String,
        /// Which module.
        module: String,
    },
    /// A module's file cannot be read.
    #[error("initramfs: module {}: {what}", path.display())]
    BadModule {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Something was put where PID 1 mounts a file system over it.
    #[error("initramfs: {0} lies below a directory that PID 1 mounts a file system on")]
    Hidden(String),
    /// Two different things were put at one path.
    #[error("initramfs: {0} is given twice with different content")]
    Conflict(String),
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

/// Writes the initramfs of one boot: the base, and behind it the archive with the job and its
/// files.
///
/// # Errors
/// When reading the base or writing fails.
pub fn write_for_job(base: &Path, job: &Job, dest: &Path) -> Result<(), Error> {
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

/// The name under which a kernel's base is kept begins with this, so that a person can tell them
/// apart.
fn label(kernel: &Kernel) -> String {
    kernel
        .release
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect()
}
