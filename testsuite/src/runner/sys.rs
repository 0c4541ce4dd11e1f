//! The one place of the test suite that needs `unsafe`: starting a program with nothing inherited that would become
//! part of its state: signal mask and actions, session, descriptors.
//!
//! # Safety
//! A closure that runs between fork and exec may only make async-signal-safe calls and must not allocate.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Gives the program that `command` starts every signal's default action and an empty mask, whatever this process was
/// started with or has blocked itself; with `session` it also leads a session and process group of its own.
pub fn start_afresh(command: &mut Command, session: bool) -> &mut Command {
    // SAFETY: sigemptyset(3), sigprocmask(2), signal(2) and setsid(2) are async-signal-safe, the only memory touched is
    // a local variable, and the closure allocates nothing.
    unsafe {
        command.pre_exec(move || {
            for signal in 1..=libc::SIGRTMAX() {
                // Fails for SIGKILL, SIGSTOP and the C library's own; those have no action to give up.
                libc::signal(signal, libc::SIG_DFL);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            if libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()) == -1
                || (session && libc::setsid() == -1)
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        })
    }
}

/// Gives the program random addresses again, as usual, where this process has them fixed.
pub fn randomise_addresses(command: &mut Command) -> &mut Command {
    // SAFETY: personality(2) is async-signal-safe, and the closure allocates nothing.
    unsafe {
        command.pre_exec(|| match libc::personality(0) {
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
