//! The kernel's own search for memory that nothing leads to any more, where it has one
//! (Documentation/dev-tools/kmemleak.rst).

use std::fs;
use std::io;
use std::time::Duration;

const FILE: &str = "/sys/kernel/debug/kmemleak";

/// Younger memory is not suspected: MSECS_MIN_AGE in mm/kmemleak.c, and a little more. Nothing
/// tells when it is over.
const MIN_AGE: Duration = Duration::from_millis(5500);

/// Forgets what was lost before the job. What cannot be done comes back in words.
pub fn forget() -> Result<(), String> {
    attempt(|| {
        scan()?;
        fs::write(FILE, "clear")
    })
}

/// Has the kernel look for what the job has lost, and shows it on the console, where the host finds
/// it.
pub fn tell() -> Result<(), String> {
    attempt(|| {
        scan()?;
        fs::read_to_string(FILE)?.lines().for_each(|line| eprintln!("{line}"));
        Ok(())
    })
}

/// Twice: what has changed since the last time is not suspected, and of what is new anything is a
/// change.
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
