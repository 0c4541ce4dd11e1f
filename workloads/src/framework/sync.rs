//! The gate between building and verifying: the FIFOs `ready` and `go`, and the clock that runs
//! after `go`.
//!
//! While a workload waits, its root thread is blocked in openat(2) on `go` and has nothing that a
//! workload without a gate would not have: no descriptor, no timer, no thread. The watchdog thread
//! starts only after `go`.

use super::{Outcome, descendants, hang_report, sys};
use anyhow::Context as _;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When verification must be over. Set once, when the gate has been passed.
static DEADLINE: OnceLock<Instant> = OnceLock::new();

/// Where the two FIFOs are and what happens after `go`.
pub struct Gate {
    /// The directory with the FIFOs, absolute.
    dir: PathBuf,
    watchdog: bool,
    passed: bool,
}

impl Gate {
    /// The gate in `dir`, which holds the two FIFOs.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), watchdog: true, passed: false }
    }

    /// The FIFOs are now reached through `dir`: for a workload that changes its root directory
    /// (and has linked the FIFOs into the new one).
    pub fn set_dir(&mut self, dir: impl Into<PathBuf>) {
        self.dir = dir.into();
    }

    /// No watchdog thread after `go`: for a workload that an additional thread would disturb.
    /// The runner's own time limit is then the only one.
    pub fn without_watchdog(&mut self) {
        self.watchdog = false;
    }

    /// Whether `go` has been said.
    pub fn passed(&self) -> bool {
        self.passed
    }

    /// Says `ready`, waits for `go`, starts the clock.
    pub fn pass(&mut self) -> Outcome {
        anyhow::ensure!(!self.passed, "ready was said twice");
        let (ready, go) = (self.dir.join("ready"), self.dir.join("go"));
        let mut line = open_fifo(|| File::options().write(true).open(&ready)).context("open ready")?;
        line.write_all(b"ready\n").context("write to ready")?;
        drop(line);
        drop(open_fifo(|| File::open(&go)).context("open go")?);
        self.passed = true;
        DEADLINE.get_or_init(|| Instant::now() + limit());
        if self.watchdog { start_watchdog() } else { Ok(()) }
    }
}

/// Opens a FIFO, once more whenever a handler of the workload interrupted it.
fn open_fifo(mut open: impl FnMut() -> std::io::Result<File>) -> std::io::Result<File> {
    loop {
        match open() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// How long anything in a workload may take: 30 s times `CAIRN_TIME_SCALE`.
pub fn limit() -> Duration {
    let scale: f64 = std::env::var("CAIRN_TIME_SCALE").ok().and_then(|s| s.parse().ok()).unwrap_or(1.0);
    Duration::from_secs_f64(30.0 * scale.clamp(0.1, 100.0))
}

/// Time left for one more wait: until the deadline when `go` was said, the whole limit before.
pub fn time_left() -> Duration {
    DEADLINE.get().map_or_else(limit, |end| end.saturating_duration_since(Instant::now()))
}

/// Polls `done` until it is true, every millisecond. For conditions without a kernel event, such as
/// another thread being blocked.
///
/// # Errors
/// `timed out waiting for WHAT`; the error of `done`.
pub fn wait_until(what: &str, mut done: impl FnMut() -> anyhow::Result<bool>) -> Outcome {
    let end = Instant::now() + time_left();
    while !done()? {
        anyhow::ensure!(Instant::now() < end, "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Waits until `counter`, which something else counts up, has grown by `more`.
///
/// # Errors
/// `timed out waiting for WHAT`.
pub fn wait_for_more(what: &str, counter: &AtomicU64, more: u64) -> Outcome {
    let goal = counter.load(Ordering::SeqCst) + more;
    wait_until(what, || Ok(counter.load(Ordering::SeqCst) >= goal))
}

/// A thread, all signals blocked, that ends the process when the deadline has passed.
fn start_watchdog() -> Outcome {
    extern "C" fn watch(_: *mut libc::c_void) -> *mut libc::c_void {
        loop {
            let left = time_left();
            if left.is_zero() {
                eprintln!("timed out waiting for the verification to end");
                hang_report::print();
                descendants::kill_all();
                // SAFETY: _exit has no preconditions.
                unsafe { libc::_exit(1) }
            }
            std::thread::sleep(left);
        }
    }
    let old = sys::block_all_signals()?;
    // SAFETY: an all-zero pthread_attr_t is initialised by pthread_attr_init before use; `watch`
    // needs no argument and the thread is detached, so nothing refers to `id` afterwards.
    let rc = unsafe {
        let mut attr: libc::pthread_attr_t = std::mem::zeroed();
        libc::pthread_attr_init(&mut attr);
        libc::pthread_attr_setdetachstate(&mut attr, libc::PTHREAD_CREATE_DETACHED);
        let mut id = 0;
        let rc = libc::pthread_create(&mut id, &attr, watch, std::ptr::null_mut());
        libc::pthread_attr_destroy(&mut attr);
        rc
    };
    sys::set_signal_mask(&old)?;
    anyhow::ensure!(rc == 0, "start the watchdog: {}", std::io::Error::from_raw_os_error(rc));
    Ok(())
}
