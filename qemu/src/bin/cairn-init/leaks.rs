//! The kernel's own search for memory that nothing leads to any more, where it has one
//! (Documentation/dev-tools/kmemleak.rst).

use std::fs;
use std::io;
use std::time::Duration;

const FILE: &str = "/sys/kernel/debug/kmemleak";

/// Younger memory is not suspected: MSECS_MIN_AGE in mm/kmemleak.c, and a little more. Nothing tells when it is over.
const MIN_AGE: Duration = Duration::from_millis(5500);

/// Forgets what was lost before the job. What cannot be done comes back in words.
pub fn forget() -> Result<(), String> {
    attempt(|| {
        fs::write(FILE, "scan")?;
        fs::write(FILE, "clear")
    })
}

/// Has the kernel look for what the job has lost. It says to its log when there is something; what it is, is said here.
pub fn tell() -> Result<(), String> {
    attempt(|| {
        std::thread::sleep(MIN_AGE);
        fs::write(FILE, "scan")?;
        let found = fs::read_to_string(FILE)?;
        found.lines().for_each(|line| eprintln!("cairn-init: kmemleak: {line}"));
        Ok(())
    })
}

fn attempt(what: impl FnOnce() -> io::Result<()>) -> Result<(), String> {
    if !fs::exists(FILE).unwrap_or(false) {
        return Ok(());
    }
    what().map_err(|e| format!("{FILE}: {e}"))
}
