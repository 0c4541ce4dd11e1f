//! Runs a command in a worker process, so that the target is put back even when the process that the user sees is killed.

use cairn::error::{Context, Result};
use cairn::sys::guard::{self, Side};
use cairn::sys::wait::{self, Stop};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asked at every safe point whether to give up.
pub type Cancelled = Arc<AtomicBool>;

/// Runs `work` in a worker; its exit code is the result.
///
/// # Errors
/// Only of the worker itself; in the front, errors have been printed already.
pub fn run(work: impl FnOnce(&dyn Fn() -> bool) -> anyhow::Result<u8>) -> anyhow::Result<u8> {
    // Until each side listens, signals wait: one that killed the front alone would leave a worker that nobody has told.
    let until_heard = [SIGHUP, SIGINT, SIGTERM].into_iter().filter_map(|n| Signal::try_from(n).ok());
    let until_heard: SigSet = until_heard.collect();
    until_heard.thread_block().map_err(std::io::Error::from).context(|| "block signals")?;
    match guard::split().context(|| "start worker")? {
        Side::Front(worker) => Ok(attend(worker, &until_heard)?),
        Side::Worker => {
            guard::survive_file_size_limit().context(|| "ignore SIGXFSZ")?;
            let cancelled = Cancelled::default();
            for signal in [SIGHUP, SIGINT, SIGTERM] {
                signal_hook::flag::register(signal, Arc::clone(&cancelled)).context(|| "catch signals")?;
            }
            until_heard.thread_unblock().map_err(std::io::Error::from).context(|| "unblock signals")?;
            let code = match work(&|| cancelled.load(Ordering::Relaxed)) {
                Ok(code) => code,
                Err(err) => super::report(&err),
            };
            std::process::exit(code.into());
        }
    }
}

/// Passes signals on and waits.
fn attend(worker: i32, until_heard: &SigSet) -> Result<u8> {
    let mut signals =
        signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).context(|| "catch signals")?;
    until_heard.thread_unblock().map_err(std::io::Error::from).context(|| "unblock signals")?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // A worker that has ended needs no signal.
            let _ = guard::kill(worker, signal);
        }
    });
    loop {
        match wait::wait(worker).context(|| "wait for worker")? {
            Stop::Exited(code) => return Ok(code as u8),
            Stop::Killed(signal) => {
                eprintln!("cairn: the worker process was killed by signal {signal}");
                return Ok(1);
            }
            _ => {}
        }
    }
}
