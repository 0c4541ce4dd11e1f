//! /proc/PID/status (proc_pid_status(5)).

use super::read_short;
use crate::error::{Error, Result};

/// Reads /proc/PID/task/TID/status.
///
/// # Errors
/// *vanished* when the thread does not exist.
pub fn of_thread(pid: i32, tid: i32) -> Result<procfs::process::Status> {
    use procfs::FromRead;
    let path = format!("/proc/{pid}/task/{tid}/status");
    let ended = || Error::Vanished(format!("pid {pid}: thread {tid} has exited"));
    let odd = |source| Error::Failed { what: format!("read {path}"), source };
    let text = read_short(&path).map_err(|err| match err.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => ended(),
        _ => odd(err),
    })?;
    procfs::process::Status::from_read(text.as_slice()).map_err(|err| odd(std::io::Error::other(err)))
}

/// `TracerPid` of /proc/PID/status.
pub fn tracer(status: &[u8]) -> Option<i32> {
    let lines = status.split(|byte| *byte == b'\n');
    let value = lines.filter_map(|line| line.strip_prefix(b"TracerPid:")).next()?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tracer_is_found() {
        assert_eq!(tracer(b"Name:\tx\nTracerPid:\t12\nUid:\t0\n"), Some(12));
        assert_eq!(tracer(b"Name:\tx\n"), None);
    }
}
