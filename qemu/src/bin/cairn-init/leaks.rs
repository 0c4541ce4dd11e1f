//! The kernel's memory leak detector, if it is enabled (Documentation/dev-tools/kmemleak.rst).

use std::fs;
use std::io;
use std::time::Duration;

const FILE: &str = "/sys/kernel/debug/kmemleak";

/// Younger objects are not reported: MSECS_MIN_AGE in mm/kmemleak.c, and a margin. The kernel does
/// not announce when it is over.
const MIN_AGE: Duration = Duration::from_millis(5500);

/// Clears leaks from before the job. The error is a message.
pub fn forget() -> Result<(), String> {
    attempt(|| {
        scan()?;
        fs::write(FILE, "clear")
    })
}

/// Lets the kernel scan for leaks of the job, and writes them to the console, where the host finds
/// them.
pub fn tell() -> Result<(), String> {
    attempt(|| {
        scan()?;
        fs::read_to_string(FILE)?.lines().for_each(|line| eprintln!("{line}"));
        Ok(())
    })
}

/// Scans twice: an object that changed since the previous scan is not reported, and a new object
/// counts as changed.
fn scan() -> io::Result<()> {
    std::thread::sleep(MIN_AGE);
    (0..2).try_for_each(|_| fs::write(FILE, "scan"))
}

fn attempt(what: impl FnOnce() -> io::Result<()>) -> Result<(), String> {
    if !fs::exists(FILE).unwrap_or(false) {
        return Ok(());
    }
    what().map_err(|e| format!("{FILE}: {e}"))
}
