//! Runs a command in a worker process, so that the target is put back even when the process that the user sees is killed.

use cairn::error::{Context, Result};
use cairn::sys::guard::{self, Side};
use cairn::sys::wait::{self, Stop};
use nix::sys::signal::{SigSet, Signal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asked at every safe point whether to give up.
pub type Cancelled = Arc<AtomicBool>;

/// Those by which we are asked to give up.
const HEARD: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// Runs `work` in a worker; its exit code is the result.
///
/// # Errors
/// Only of the worker itself; in the front, errors have been printed already.
pub fn run(work: impl FnOnce(&dyn Fn() -> bool) -> anyhow::Result<u8>) -> anyhow::Result<u8> {
    // Until each side listens, signals wait: one that killed the front alone would leave a worker that nobody has told.
    let heard: SigSet = HEARD.into_iter().collect();
    heard.thread_block().map_err(std::io::Error::from).context(|| "block signals")?;
    match guard::split().context(|| "start worker")? {
        Side::Front(worker) => Ok(attend(worker, heard)?),
        Side::Worker => {
            guard::survive_file_size_limit().context(|| "ignore SIGXFSZ")?;
            let cancelled = Cancelled::default();
            for signal in HEARD {
                signal_hook::flag::register(signal as i32, Arc::clone(&cancelled))
                    .context(|| "catch signals")?;
            }
            unblock(heard)?;
            let code = match work(&|| cancelled.load(Ordering::Relaxed)) {
                Ok(code) => code,
                Err(err) => super::report(&err),
            };
            std::process::exit(code.into());
        }
    }
}

fn unblock(signals: SigSet) -> Result<()> {
    signals.thread_unblock().map_err(std::io::Error::from).context(|| "unblock signals")
}

/// Passes signals on and waits.
fn attend(worker: i32, heard: SigSet) -> Result<u8> {
    let numbers = HEARD.map(|signal| signal as i32);
    let mut signals = signal_hook::iterator::Signals::new(numbers).context(|| "catch signals")?;
    unblock(heard)?;
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
