//! A place that a runner can be started in: this host, or a guest.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::event::{Event, Job};
use crate::verdict::Verdict;

/// How one life of a place ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The runner said that it is done.
    Finished,
    /// It ended before that.
    Died {
        /// What to call it: `panic`, `timeout`, `splat`, `boot` or `missing`.
        verdict: Verdict,
        /// One line.
        detail: String,
    },
    /// The emulator under it failed, which says nothing of what ran there.
    Emulator {
        /// One line.
        detail: String,
    },
    /// We ended it.
    Stopped,
}

/// What a place says while it lives.
#[derive(Debug)]
pub enum Heard {
    /// A line of the runner.
    Event(Event),
    /// A complaint of the kernel that only the console showed.
    Splat(String),
    /// Something a person may want to see.
    Note(String),
}

/// A place that failed before it could be alive or dead: a missing program, a full disk.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct PlaceError {
    /// What was tried.
    pub what: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl PlaceError {
    /// For `map_err`.
    pub fn new<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| PlaceError { what, source: source.into() }
    }
}

/// Where a runner runs. One call is one life: a guest is booted and gone at its end.
pub trait Place {
    /// Runs a job; every word goes to `hear` in order. Returns when nothing of it is left.
    ///
    /// # Errors
    /// [`PlaceError`] when there was no life at all.
    fn run(&mut self, job: &Job, stop: &StopFlag, hear: &mut dyn FnMut(Heard)) -> Result<Ending, PlaceError>;

    /// Files about the last life for a bundle: console, command line.
    fn files(&self) -> Vec<PathBuf>;
}

/// Raised by Ctrl-C.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Around a flag that a signal handler sets.
    pub fn new(flag: Arc<AtomicBool>) -> StopFlag {
        StopFlag(flag)
    }

    /// Whether to come to an end.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks everybody to come to an end.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
