//! Engines: how each one's programs are started. An engine is a file here and a line in [`named`].
//!
//! An adapter only builds commands and reads what they printed; starting, timing and judging is the runner's.

mod cairn;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::event::Measured;

/// How to start one engine.
pub trait Engine: Send + Sync {
    /// The name used in cells.
    fn name(&self) -> &'static str;

    /// Saves the tree below `pid` into `file`; ends with 0 once the file is complete.
    fn checkpoint(&self, pid: u32, file: &Path, after: After) -> Command;

    /// The same by another way that has to come to the same records, if the engine has one.
    fn checkpoint_otherwise(&self, pid: u32, file: &Path, after: After) -> Command {
        self.checkpoint(pid, file, after)
    }

    /// Brings the tree back. The program stays its parent and ends as the root task ends (128 + signal when one
    /// killed it). On its standard output it says [`RELEASED`] when the tree runs again.
    fn restart(&self, file: &Path) -> Command;

    /// Prints the records of a context file as JSON, if the engine can.
    fn info(&self, file: &Path) -> Option<Command>;

    /// Prints the engine's version in one line.
    fn version(&self) -> Command;

    /// What a successful checkpoint printed about its cost.
    fn measured(&self, stdout: &str) -> Option<Measured>;

    /// What an exit status of a checkpoint or restart means, if the engine's documentation says.
    fn status_meaning(&self, code: i32) -> Option<&'static str>;
}

/// The line that a restart program prints when the tree runs again.
pub const RELEASED: &str = "released\n";

/// What becomes of the original after a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It goes on running.
    Run,
    /// It is killed.
    Kill,
}

/// Names of all engines.
pub const ALL: &[&str] = &["cairn", CAIRN_KMOD];

/// cairn with the kernel module as the source of a target's state: the same program, and only in guests that have loaded the module.
pub const CAIRN_KMOD: &str = "cairn-kmod";

/// The adapter of this name around this program.
pub fn named(name: &str, program: PathBuf) -> Option<Box<dyn Engine>> {
    match name {
        "cairn" => Some(Box::new(cairn::Cairn { program, name: "cairn", source: "ptrace", other: "ptrace" })),
        CAIRN_KMOD => {
            Some(Box::new(cairn::Cairn { program, name: CAIRN_KMOD, source: "kmod", other: "ptrace" }))
        }
        _ => None,
    }
}
