//! What a caller asks of a checkpoint, and what it gets.

use crate::error::Result;
use crate::image::{self, Location};
use crate::resource::bytes::PathBytes;
use crate::resource::ipc::Name;
use crate::source::{Source, Wanted};
use crate::tree::Scope;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// The target of a checkpoint.
#[derive(Debug, Clone)]
pub struct Target {
    /// The processes.
    pub scope: Scope,
    /// Where to get the state from.
    pub source: Wanted,
    /// Also accept processes that have a tracer; only the module can.
    pub traced: bool,
    /// Also accept open files or memory shared with processes outside; a restart ends the sharing.
    pub shared: bool,
    /// Also accept TCP connections to processes outside.
    pub tcp_established: bool,
    /// Names in /proc/PID/fd of files to leave outside; a restart needs others in their place.
    pub external: Vec<PathBytes>,
    /// System V objects that are the job's.
    pub sysv: Vec<Name>,
    /// How long to wait for threads that do not stop.
    pub patience: Duration,
}

impl Target {
    /// This scope, from whatever source is available, with default options.
    pub fn of(scope: Scope) -> Self {
        let patience = Duration::from_secs(30);
        let (source, external, sysv) = (Wanted::Auto, Vec::new(), Vec::new());
        Target {
            scope,
            source,
            traced: false,
            shared: false,
            tcp_established: false,
            external,
            sysv,
            patience,
        }
    }
}

/// Options of a checkpoint.
pub struct Options<'a> {
    /// The processes to checkpoint.
    pub target: Target,
    /// Where to write the context file.
    pub to: Location,
    /// What to do with the job once the file is complete.
    pub then: Then,
    /// Whether to wait for the disk.
    pub sync: image::Sync,
    /// Called with the bytes copied so far and the total.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
    /// Polled; true cancels the checkpoint.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// What to do with the job after a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Let it run.
    Run,
    /// Leave it stopped, by SIGSTOP.
    Stop,
    /// Kill it. Of a process traced by us that is a child of the caller, the end is waited for
    /// here.
    Kill,
}

/// The result of a checkpoint.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The context file, or the name of the stream.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// The id that the checkpoint was given.
    pub pid: i32,
    /// Where the state came from.
    pub source: Source,
    /// Number of threads and zombies saved.
    pub tasks: usize,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Nanoseconds from the first thread stopped to the last one released, or to the kill. Of the
    /// last stop, if there were several.
    pub pause_ns: u64,
    /// Total duration in nanoseconds.
    pub total_ns: u64,
    /// What was not saved, although the job may need it.
    pub notices: Vec<String>,
}

/// JSON is UTF-8, a path need not be.
fn as_text<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// The result of a check.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Where the state would come from.
    pub source: Source,
    /// Number of threads and zombies.
    pub tasks: usize,
    /// What would not be saved, although the job may need it.
    pub notices: Vec<String>,
}
