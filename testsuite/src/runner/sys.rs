//! The one place of the test suite that needs `unsafe`: starting a program with nothing inherited
//! that would become part of its state: signal mask and actions, session, descriptors.
//!
//! # Safety
//! A closure that runs between fork and exec may only make async-signal-safe calls and must not
//! allocate.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where a program stands towards the session and the process group of whoever starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It leads a session of its own, and with it a process group.
    SessionLeader,
    /// It leads a process group of its own in the same session: a job of a shell with job control.
    GroupLeader,
    /// It is in the same process group: a command of a shell without job control.
    Member,
}

/// Gives the program that `command` starts every signal's default action and an empty mask,
/// whatever this process was started with or has blocked itself, and its session and process group.
pub fn start_afresh(command: &mut Command, standing: Standing) -> &mut Command {
    // SAFETY: sigemptyset(3), sigprocmask(2), signal(2), setsid(2) and setpgid(2) are
    // async-signal-safe, the only memory touched is a local variable, and the closure allocates
    // nothing.
    unsafe {
        command.pre_exec(move || {
            for signal in 1..=libc::SIGRTMAX() {
                // Fails for SIGKILL, SIGSTOP and the C library's own; those have no action to give
                // up.
                libc::signal(signal, libc::SIG_DFL);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            if libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()) == -1 {
                return Err(io::Error::last_os_error());
            }
            let placed = match standing {
                Standing::SessionLeader => libc::setsid(),
                Standing::GroupLeader => libc::setpgid(0, 0),
                Standing::Member => 0,
            };
            if placed == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

/// Closes every descriptor above standard error that this process was started with. A job server's
/// pipe or a shell's stray file would otherwise become part of every workload's state.
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
        // SAFETY: nothing in this program owns a descriptor above 2 yet; the one of the directory
        // just read is closed already, and closing it again fails with EBADF and does nothing.
        unsafe { libc::close(fd) };
    }
    Ok(())
}
