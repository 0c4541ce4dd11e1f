//! Engines: how each one's programs are started. An engine is a file here and a line in [`named`].
//!
//! An adapter only builds commands and parses their output; starting, timing and judging is done by
//! the runner. The requirements on the commands are in `docs/guide-harness.md`, "An engine's
//! contract".

mod cairn;
mod cairn_records;
pub(crate) mod printed;
mod probe;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::event::Measured;
use crate::oracle::fixpoint::Records;

pub use probe::probe;

/// How long an engine may take to print its version, before scaling.
pub const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// Limit on the standard output of a checkpoint, in bytes.
pub const REPORT_LIMIT: u64 = 1 << 20;
/// Limit on the records of a context file, in bytes.
pub const RECORDS_LIMIT: u64 = 64 << 20;
/// Limit on the standard output of a restart program, in bytes.
pub const RESTART_LIMIT: u64 = 64 << 10;
/// Limit on the standard error of any program of an engine, in bytes.
pub const ERRORS_LIMIT: u64 = 1 << 20;

/// The environment of every program.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/"),
    ("LANG", "C.UTF-8"),
];

/// The commands of one engine.
pub trait Engine: Send + Sync {
    /// The name used in cells.
    fn name(&self) -> &'static str;

    /// The user id that its programs and their workloads run as, if not the runner's: an ordinary
    /// user, whose group has the same id.
    fn user(&self) -> Option<u32> {
        None
    }

    /// Checkpoints the tree below `pid` into `file`; exits with 0 once the file is complete. `sysv`
    /// are the System V objects that are the tree's, although nothing shows that: `sem:3`.
    fn checkpoint(&self, pid: u32, file: &Path, after: After, sysv: &[String]) -> Command;

    /// The same checkpoint through another source that must give the same records, if the engine
    /// has one.
    fn checkpoint_otherwise(&self, pid: u32, file: &Path, after: After, sysv: &[String]) -> Command {
        self.checkpoint(pid, file, after, sysv)
    }

    /// Restarts the tree. The program stays its parent and exits as the root task does (128 +
    /// signal if it was killed). It prints [`RELEASED`] on standard output when the tree runs
    /// again.
    fn restart(&self, file: &Path) -> Command;

    /// Prints the records of a context file as JSON, if the engine can.
    fn info(&self, file: &Path) -> Option<Command>;

    /// Prints the engine's version in one line.
    fn version(&self) -> Command;

    /// Checks that this is output of [`Engine::info`] for a tree that contains this process.
    ///
    /// # Errors
    /// The problem, in one line.
    fn check_records(&self, printed: &[u8], pid: u32) -> Result<(), String>;

    /// How two records of the same state are compared.
    fn records(&self) -> &'static Records;

    /// Parses the cost that a successful checkpoint printed.
    ///
    /// # Errors
    /// Why it is not a valid report, in one line.
    fn measured(&self, printed: &[u8]) -> Result<Measured, String>;

    /// The documented meaning of an exit status of checkpoint or restart, if there is one.
    fn status_meaning(&self, code: i32) -> Option<&'static str>;
}

/// The line that a restart program prints when the tree runs again.
pub const RELEASED: &str = "released";

/// What becomes of the original after a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It continues to run.
    Run,
    /// It is killed.
    Kill,
}

/// Names of all engines.
pub const ALL: &[&str] = &["cairn", CAIRN_KMOD, CAIRN_USER];

/// cairn with the kernel module as the source of a target's state: the same program, usable only in
/// guests that have loaded the module.
pub const CAIRN_KMOD: &str = "cairn-kmod";

/// The same, with the program and its workloads running as an ordinary user.
pub const CAIRN_USER: &str = "cairn-user";

/// Whether the engine of this name needs the kernel module.
pub fn needs_module(name: &str) -> bool {
    matches!(name, CAIRN_KMOD | CAIRN_USER)
}

/// The first uid that distributions assign to users.
const ORDINARY: u32 = 1000;

/// The adapter of this name for this program.
pub fn named(name: &str, program: PathBuf) -> Option<Box<dyn Engine>> {
    let (name, source, user) = match name {
        "cairn" => ("cairn", "ptrace", None),
        CAIRN_KMOD => (CAIRN_KMOD, "kmod", None),
        CAIRN_USER => (CAIRN_USER, "kmod", Some(ORDINARY)),
        _ => return None,
    };
    Some(Box::new(cairn::Cairn { program, name, source, other: "ptrace", user }))
}
