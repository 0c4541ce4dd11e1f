//! Engines: how each one's programs are started. An engine is a file here and a line in [`named`].
//!
//! An adapter only builds commands and reads what they printed; starting, timing and judging is the
//! runner's. What the commands have to do is written down in `docs/guide-harness.md`, "An engine's
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

/// How long an engine may take to tell its version, before scaling.
pub const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// Bytes that a checkpoint may print on standard output.
pub const REPORT_LIMIT: u64 = 1 << 20;
/// Bytes that the records of a context file may have.
pub const RECORDS_LIMIT: u64 = 64 << 20;
/// Bytes that a restart program may print on standard output.
pub const RESTART_LIMIT: u64 = 64 << 10;
/// Bytes that any program of an engine may print on standard error.
pub const ERRORS_LIMIT: u64 = 1 << 20;

/// What every program finds in its environment.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/"),
    ("LANG", "C.UTF-8"),
];

/// How to start one engine.
pub trait Engine: Send + Sync {
    /// The name used in cells.
    fn name(&self) -> &'static str;

    /// As whom its programs and their workloads run, when not as we do: an ordinary user's id,
    /// which is the group's, too.
    fn user(&self) -> Option<u32> {
        None
    }

    /// Saves the tree below `pid` into `file`; ends with 0 once the file is complete.
    fn checkpoint(&self, pid: u32, file: &Path, after: After) -> Command;

    /// The same by another way that has to come to the same records, if the engine has one.
    fn checkpoint_otherwise(&self, pid: u32, file: &Path, after: After) -> Command {
        self.checkpoint(pid, file, after)
    }

    /// Brings the tree back. The program stays its parent and ends as the root task ends (128 +
    /// signal when one killed it). On its standard output it says [`RELEASED`] when the tree runs
    /// again.
    fn restart(&self, file: &Path) -> Command;

    /// Prints the records of a context file as JSON, if the engine can.
    fn info(&self, file: &Path) -> Option<Command>;

    /// Prints the engine's version in one line.
    fn version(&self) -> Command;

    /// Whether this is what [`Engine::info`] prints of a tree with this process in it.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    fn check_records(&self, printed: &[u8], pid: u32) -> Result<(), String>;

    /// How two records of the same state are compared.
    fn records(&self) -> &'static Records;

    /// What a successful checkpoint printed about its cost.
    ///
    /// # Errors
    /// Why that is no report, in one line.
    fn measured(&self, printed: &[u8]) -> Result<Measured, String>;

    /// What an exit status of a checkpoint or restart means, if the engine's documentation says.
    fn status_meaning(&self, code: i32) -> Option<&'static str>;
}

/// The line that a restart program prints when the tree runs again.
pub const RELEASED: &str = "released";

/// What becomes of the original after a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It goes on running.
    Run,
    /// It is killed.
    Kill,
}

/// Names of all engines.
pub const ALL: &[&str] = &["cairn", CAIRN_KMOD, CAIRN_USER];

/// cairn with the kernel module as the source of a target's state: the same program, and only in
/// guests that have loaded the module.
pub const CAIRN_KMOD: &str = "cairn-kmod";

/// The same, with the program and its workloads those of an ordinary user.
pub const CAIRN_USER: &str = "cairn-user";

/// Whether an engine of this name wants the kernel module loaded.
pub fn needs_module(name: &str) -> bool {
    matches!(name, CAIRN_KMOD | CAIRN_USER)
}

/// The first id that distributions give to users.
const ORDINARY: u32 = 1000;

/// The adapter of this name around this program.
pub fn named(name: &str, program: PathBuf) -> Option<Box<dyn Engine>> {
    let (name, source, user) = match name {
        "cairn" => ("cairn", "ptrace", None),
        CAIRN_KMOD => (CAIRN_KMOD, "kmod", None),
        CAIRN_USER => (CAIRN_USER, "kmod", Some(ORDINARY)),
        _ => return None,
    };
    Some(Box::new(cairn::Cairn { program, name, source, other: "ptrace", user }))
}
