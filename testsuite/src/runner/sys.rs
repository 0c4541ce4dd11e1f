//! The one place of the test suite that needs `unsafe`: starting a program as leader of a new session.
//!
//! # Safety
//! A closure that runs between fork and exec may only make async-signal-safe calls and must not allocate.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the program that `command` starts the leader of a session and process group of its own.
pub fn in_new_session(command: &mut Command) -> &mut Command {
    // SAFETY: setsid(2) is async-signal-safe, takes no memory of ours, and the closure allocates nothing.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        })
    }
}
