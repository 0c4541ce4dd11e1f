//! The one place of the test suite that needs `unsafe`: starting a program as leader of a new session, and letting go of
//! descriptors that nobody here owns.
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

/// Closes every descriptor above standard error that this process was started with. A job server's pipe or a shell's
/// stray file would otherwise become part of every workload's state.
///
/// To be called first of all, before this program has opened anything.
///
/// # Errors
/// When the list of descriptors cannot be read.
pub fn close_inherited() -> io::Result<()> {
    let listed: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in listed {
        // SAFETY: nothing in this program owns a descriptor above 2 yet; the one of the directory just read is closed
        // already, and closing it again fails with EBADF and does nothing.
        unsafe { libc::close(fd) };
    }
    Ok(())
}
