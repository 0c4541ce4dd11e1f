//! Runs a command in a worker process: the target is restored even if the front end is killed, and
//! the user gets an answer even if the worker hangs. The worker can be killed at any point, and the
//! target still continues.

use cairn::error::{Context, Result};
use cairn::sys::guard::{self, Side, Successor};
use cairn::sys::ptrace;
use cairn::sys::signals::{self, Heard};
use cairn::sys::wait::{self, Stop};
use cairn::{activity, journal};
use nix::sys::signal::{SigSet, Signal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Polled at every safe point: whether to give up.
pub type Cancelled = Arc<AtomicBool>;

/// Signals that ask us to give up.
const HEARD: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];
/// How long the worker may take to give up before it is killed.
const GRACE: Duration = Duration::from_millis(700);

/// Runs `work` in a worker; its exit code is the result. A worker still running well after
/// `patience` is killed. `clean` is called in the front end if the worker did not exit by itself.
///
/// # Errors
/// Errors of starting or waiting for the worker; those of `work` have already been printed.
pub fn run(
    patience: Duration,
    clean: impl Fn(),
    work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> anyhow::Result<u8>,
) -> anyhow::Result<u8> {
    // Signals stay blocked until both sides handle them: one that killed only the front end would
    // leave a worker that does not know of it. SIGCHLD stays blocked in both: each that the worker
    // took would stop it, as it is traced.
    let heard: SigSet = HEARD.into_iter().collect();
    heard.thread_block().map_err(std::io::Error::from).context(|| "block signals")?;
    wait::block_sigchld();
    activity::prepare().context(|| "create the page shared with the worker")?;
    match guard::split().context(|| "start worker")? {
        Side::Front(worker) => {
            // For the case that both of us are killed. Without it nothing is undone then.
            let _last = Successor::start(Some(worker), || {
                if !activity::is_finished() {
                    journal::undo_all();
                    clean();
                }
            });
            Ok(attend(worker, patience, &clean)?)
        }
        Side::Worker => {
            guard::survive_file_size_limit().context(|| "ignore SIGXFSZ")?;
            let cancelled = Cancelled::default();
            for signal in HEARD {
                signal_hook::flag::register(signal as i32, Arc::clone(&cancelled))
                    .context(|| "catch signals")?;
            }
            heard.thread_unblock().map_err(std::io::Error::from).context(|| "unblock signals")?;
            let code = match work(&|| cancelled.load(Ordering::Relaxed)) {
                Ok(code) => code,
                Err(err) => super::report(&err),
            };
            activity::finish();
            std::process::exit(code.into());
        }
    }
}

/// Forwards signals and waits.
///
/// The worker is traced so that, if it is killed, it stops before it lets go of the job: what it
/// has changed in that is undone while nothing of it runs (kernel/exit.c: `do_exit` reports
/// `PTRACE_EVENT_EXIT` first, and `exit_notify` releases its tracees last).
fn attend(worker: i32, patience: Duration, clean: &impl Fn()) -> Result<u8> {
    let mut asked: Option<(Instant, String)> = None;
    let numbers = HEARD.map(|signal| signal as i32);
    // The worker observes `patience` itself and reports why it gives up; it counts as hung only if
    // it does not.
    let stuck = Stuck::new(patience + Duration::from_secs(2));
    // Where that is not allowed, or somebody traces it already, it is undone after its end.
    let _ = ptrace::seize(worker, ptrace::TRACEEXIT);
    loop {
        match wait::poll(worker).context(|| "wait for worker")? {
            Some(Stop::Exited(code)) => return Ok(code as u8),
            Some(stop @ (Stop::Signal(_) | Stop::Group(_) | Stop::Interrupted | Stop::Event(_))) => {
                // Errors are ignored: it may have been killed meanwhile.
                let _ = match stop {
                    Stop::Signal(signal) => ptrace::cont(worker, signal),
                    Stop::Group(_) => ptrace::listen(worker),
                    Stop::Event(_) => {
                        // What they do for it, they complete.
                        guard::await_children(worker, patience);
                        journal::undo_all();
                        ptrace::cont(worker, 0)
                    }
                    _ => ptrace::cont(worker, 0),
                };
                continue;
            }
            Some(Stop::Killed(signal)) => {
                journal::undo_all();
                clean();
                match asked {
                    Some((_, why)) => eprintln!("cairn: {why}"),
                    None => eprintln!("cairn: the worker process was killed by signal {signal}"),
                }
                return Ok(1);
            }
            _ => {}
        }
        let limit = match &asked {
            Some((since, _)) => (*since + GRACE).saturating_duration_since(Instant::now()),
            None => stuck.left(),
        };
        if limit.is_zero() {
            if asked.is_none() {
                let why = format!(
                    "gave up: no progress in {} s on: {}; the job continues",
                    patience.as_secs(),
                    activity::last()
                );
                asked = Some((Instant::now(), why));
            }
            // Interrupts any wait, unless the worker is in uninterruptible sleep.
            let _ = guard::kill(worker, libc::SIGKILL);
        }
        let wait = limit.clamp(Duration::from_millis(10), Duration::from_millis(200));
        match signals::wait(&[&numbers[..], &[libc::SIGCHLD]].concat(), wait)
            .context(|| "wait for signals")?
        {
            Some(Heard { signal, .. }) if numbers.contains(&signal) => {
                // Errors are ignored: the worker may have exited.
                let _ = guard::kill(worker, signal);
                let why = || format!("interrupted while stuck in: {}; the job continues", activity::last());
                asked.get_or_insert_with(|| (Instant::now(), why()));
            }
            _ => {}
        }
    }
}

/// Detects a worker whose activity has not changed for too long.
struct Stuck {
    limit: Duration,
    last: std::cell::RefCell<(Instant, String)>,
}

impl Stuck {
    fn new(limit: Duration) -> Self {
        Stuck { limit, last: (Instant::now(), String::new()).into() }
    }

    /// Time left until it counts as stuck.
    fn left(&self) -> Duration {
        let now = activity::last();
        let mut last = self.last.borrow_mut();
        if last.1 != now || !activity::is_hurried() {
            *last = (Instant::now(), now);
        }
        (last.0 + self.limit).saturating_duration_since(Instant::now())
    }
}
