//! How long steps (downloads, probes) report progress to the user. The driver has its own display.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Receives progress of long steps. Called from several threads.
pub trait Progress: Sync {
    /// A line for the user.
    fn message(&self, line: &str);
    /// `done` of `total` bytes of `what` have arrived. The last call for a download has `done ==
    /// total`.
    fn download(&self, what: &str, done: u64, total: u64);
}

/// Discards all progress.
pub struct Silent;

impl Progress for Silent {
    fn message(&self, _line: &str) {}
    fn download(&self, _what: &str, _done: u64, _total: u64) {}
}

/// Plain lines on standard error; at most one every three seconds for a download in progress.
#[derive(Default)]
pub struct Stderr {
    last: Mutex<Option<Instant>>,
}

impl Progress for Stderr {
    fn message(&self, line: &str) {
        // A closed standard error must not end a test run.
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
