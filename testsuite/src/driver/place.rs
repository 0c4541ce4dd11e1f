//! A place: a host or guest in which a runner is started.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::event::{Event, Job};
use crate::verdict::Verdict;

/// How one life of a place ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The runner reported that it is done.
    Finished,
    /// It ended before the runner was done.
    Died {
        /// The verdict for the cells: `panic`, `timeout`, `splat`, `boot` or `missing`.
        verdict: Verdict,
        /// One-line explanation.
        detail: String,
    },
    /// The emulator failed, which says nothing about the cells.
    Emulator {
        /// One-line explanation.
        detail: String,
    },
    /// The driver stopped it.
    Stopped,
}

/// What a place reports while it runs.
#[derive(Debug)]
pub enum Heard {
    /// An event of the runner.
    Event(Event),
    /// A kernel complaint seen only on the console, or one that cannot be attributed to a single
    /// cell.
    Splat(String),
    /// A message for the user.
    Note(String),
}

impl Heard {
    /// Classifies an event of the runner.
    ///
    /// # Errors
    /// When the runner refused an engine.
    pub fn of(event: Event) -> Result<Heard, PlaceError> {
        match event {
            Event::Refused { engine, reason } => Err(PlaceError::new(format!("engine {engine}"))(reason)),
            Event::Left { changes } => {
                Ok(Heard::Splat(format!("left behind outside of all cells: {}", changes.join(", "))))
            }
            event => Ok(Heard::Event(event)),
        }
    }
}

/// State of the event stream of a runner.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The runner reported that it is done.
    pub(super) done: bool,
    /// An unexpected or unreadable line.
    pub(super) complaint: Option<String>,
    refused: Option<PlaceError>,
}

impl Lines {
    /// Processes one line.
    pub(super) fn take(&mut self, line: &str, hear: &mut dyn FnMut(Heard)) {
        match Event::from_line(line) {
            Ok(event) => {
                self.done |= event == Event::Done;
                match Heard::of(event) {
                    Ok(heard) => hear(heard),
                    Err(error) => self.refused = self.refused.take().or(Some(error)),
                }
            }
            Err(error) => self.complaint = Some(format!("{error} in {line:?}")),
        }
    }

    /// Succeeds unless an engine was refused.
    ///
    /// # Errors
    /// The first refused engine.
    pub(super) fn accepted(&mut self) -> Result<(), PlaceError> {
        self.refused.take().map_or(Ok(()), Err)
    }
}

/// A place that could not be started at all: a missing program, a full disk.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct PlaceError {
    /// The action that failed.
    pub what: String,
    /// Its error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl PlaceError {
    /// Builds the error, for `map_err`.
    pub fn new<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| PlaceError { what, source: source.into() }
    }
}

/// Where a runner runs. One call is one life: a guest is booted and shut down.
pub trait Place {
    /// Runs a job; everything it reports is passed to `hear` in order. Returns when nothing of it
    /// is left running.
    ///
    /// # Errors
    /// [`PlaceError`] when it could not be started.
    fn run(&mut self, job: &Job, stop: &StopFlag, hear: &mut dyn FnMut(Heard)) -> Result<Ending, PlaceError>;

    /// Files of the last life for a bundle: console, command line.
    fn files(&self) -> Vec<PathBuf>;
}

/// Set by Ctrl-C.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Wraps a flag that a signal handler sets.
    pub fn new(flag: Arc<AtomicBool>) -> StopFlag {
        StopFlag(flag)
    }

    /// Whether the run should stop.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Requests a stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_refused_is_an_error_of_the_place() {
        let event = Event::Refused { engine: "cairn".into(), reason: "/x --version: exit status 1".into() };
        let error = Heard::of(event).unwrap_err();
        assert_eq!(error.to_string(), "engine cairn: /x --version: exit status 1");
    }

    #[test]
    fn what_is_left_outside_of_all_cells_is_a_complaint() {
        let changes = vec!["new: /tmp/x".to_owned(), "gone: mount on /proc".to_owned()];
        let heard = Heard::of(Event::Left { changes }).unwrap();
        assert!(
            matches!(&heard, Heard::Splat(text) if text == "left behind outside of all cells: new: /tmp/x, gone: mount on /proc"),
            "{heard:?}"
        );
    }
}
