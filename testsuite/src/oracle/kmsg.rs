//! The log oracle, inside the guest: new lines of `/dev/kmsg` that report a broken kernel, and new
//! taint.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// A position in the kernel log from which lines are read.
pub struct KernelLog {
    kmsg: File,
    taint: u64,
}

impl KernelLog {
    /// Starts at the current end of the log. `None` if it cannot be read, as in an unprivileged
    /// container.
    pub fn open() -> Option<KernelLog> {
        let mut kmsg = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").ok()?;
        kmsg.seek(SeekFrom::End(0)).ok()?;
        Some(KernelLog { kmsg, taint: taint() })
    }

    /// New complaints since the last call, one line each.
    ///
    /// # Errors
    /// When the log can no longer be read.
    pub fn complaints(&mut self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut buffer = vec![0; 8192];
        loop {
            match self.kmsg.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => found.extend(complaint(&String::from_utf8_lossy(&buffer[..n]))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The ring buffer overwrote the position: the next read continues with the oldest
                // record.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let now = taint();
        if now & !self.taint != 0 {
            found.push(format!("the kernel became tainted: {:#x}", now & !self.taint));
        }
        self.taint = now;
        Ok(found)
    }
}

fn taint() -> u64 {
    fs::read_to_string("/proc/sys/kernel/tainted").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Prefixes of kernel messages that report a broken kernel.
const BROKEN: &[&str] = &[
    "WARNING: ",
    "BUG: ",
    "BUG ",
    "[ BUG: ",
    "INFO: trying to register non-static key",
    "kernel BUG at ",
    "Oops: ",
    "Oops[",
    "Internal error: ",
    "general protection fault, probably for ",
    "Unable to handle kernel ",
    "rcu: INFO: ",
    "watchdog: BUG: ",
    "Kernel panic ",
    "Bad page state ",
    "UBSAN: ",
    "refcount_t: ",
];
/// A message of the hung task detector: `INFO: task x:12 blocked for more than 120 seconds.`
const HUNG: (&str, &str) = ("INFO: task ", " blocked for more than ");

/// The complaint in one record of `/dev/kmsg` (`priority,sequence,microseconds,flags;text`), if it
/// is one. Records written by user space (facility ≠ 0) are ignored.
fn complaint(record: &str) -> Option<String> {
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    if priority >> 3 != 0 {
        return None;
    }
    let line = text.lines().next()?.trim();
    let broken = BROKEN.iter().any(|start| line.starts_with(start))
        || (line.starts_with(HUNG.0) && line.contains(HUNG.1));
    broken.then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("4,812,99,-;WARNING: CPU: 0 PID: 7 at kernel/fork.c:12 x+0x1/0x2\n", true)]
    #[case("1,812,99,-;BUG: kernel NULL pointer dereference, address: 0\n", true)]
    #[case("3,812,99,-;INFO: task cat:12 blocked for more than 120 seconds.\n", true)]
    #[case("6,812,99,-;cairn-workloads[12]: segfault at 0 ip 0 sp 0 error 4\n", false)]
    #[case("12,812,99,-;WARNING: a daemon's own words\n", false)]
    #[case("6,812,99,-;random: crng init done\n", false)]
    #[case("garbage", false)]
    fn which_lines_complain(#[case] record: &str, #[case] wanted: bool) {
        assert_eq!(complaint(record).is_some(), wanted);
    }
}
