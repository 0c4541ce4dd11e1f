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
    /// A complaint of the kernel that only the console showed, or what no cell alone can be blamed
    /// for.
    Splat(String),
    /// Something a person may want to see.
    Note(String),
}

impl Heard {
    /// What a line of the runner is to the driver.
    ///
    /// # Errors
    /// That an engine is none.
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

/// What the lines of a runner have come to.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// It said that it is done.
    pub(super) done: bool,
    /// Something that it should not have said, or that could not be read.
    pub(super) complaint: Option<String>,
    refused: Option<PlaceError>,
}

impl Lines {
    /// Takes in one.
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

    /// Whether there was a life at all.
    ///
    /// # Errors
    /// The first engine that is none.
    pub(super) fn accepted(&mut self) -> Result<(), PlaceError> {
        self.refused.take().map_or(Ok(()), Err)
    }
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
