//! How the long steps (downloads, probes) tell the user where they are. The driver brings its own
//! display.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Receives what a long step has to say. Called from several threads.
pub trait Progress: Sync {
    /// One line for the user to read.
    fn message(&self, line: &str);
    /// `done` of `total` bytes of `what` are here. The last call for a download has `done ==
    /// total`.
    fn download(&self, what: &str, done: u64, total: u64);
}

/// Says nothing.
pub struct Silent;

impl Progress for Silent {
    fn message(&self, _line: &str) {}
    fn download(&self, _what: &str, _done: u64, _total: u64) {}
}

/// Plain lines on standard error; at most one every three seconds for a download that goes on.
#[derive(Default)]
pub struct Stderr {
    last: Mutex<Option<Instant>>,
}

impl Progress for Stderr {
    fn message(&self, line: &str) {
        // A closed standard error is no reason to end a test run.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    fn download(&self, what: &str, done: u64, total: u64) {
        let mut last = self.last.lock().expect("no panic while holding the lock");
        let due = last.is_none_or(|at| at.elapsed() > Duration::from_secs(3));
        if due || done == total {
            *last = Some(Instant::now());
            let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
            self.message(&format!("fetching {what}: {:.1} of {:.1} MiB", mib(done), mib(total)));
        }
    }
}
