//! setsid(2) in a child before it executes.

use super::cvt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the command leader of a session and process group of its own.
pub fn start_in_own_session(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe.
    unsafe { command.pre_exec(|| cvt(libc::setsid().into()).map(drop)) };
}
