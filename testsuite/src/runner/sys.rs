//! The only module of the test suite that needs `unsafe`: starts a program without inherited
//! attributes that would become part of its state: signal mask and actions, session, descriptors.
//!
//! # Safety
//! A closure that runs between fork and exec may only make async-signal-safe calls and must not
//! allocate.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Relation of a program to the session and process group of its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Leads its own session and process group.
    SessionLeader,
    /// Leads its own process group in the same session: a job of a shell with job control.
    GroupLeader,
    /// In the same process group: a command of a shell without job control.
    Member,
}

/// Makes the program that `command` starts begin with default signal actions and an empty mask,
/// whatever this process inherited or blocked itself, and in its session and process group.
pub fn start_afresh(command: &mut Command, standing: Standing) -> &mut Command {
    // SAFETY: sigemptyset(3), sigprocmask(2), signal(2), setsid(2) and setpgid(2) are
    // async-signal-safe, the only memory touched is a local variable, and the closure allocates
    // nothing.
    unsafe {
        command.pre_exec(move || {
            for signal in 1..=libc::SIGRTMAX() {
                // Fails for SIGKILL, SIGSTOP and the C library's internal signals, which keep no
                // inherited action.
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

/// Enables address space randomisation for the program where this process has it disabled.
pub fn randomise_addresses(command: &mut Command) -> &mut Command {
    // SAFETY: personality(2) is async-signal-safe, and the closure allocates nothing.
    unsafe {
        command.pre_exec(|| match libc::personality(0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        })
    }
}

/// Closes every inherited descriptor above standard error. A job server's pipe or a stray
/// descriptor of a shell would otherwise become part of every workload's state.
///
/// Must be called before this program opens anything.
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
        // SAFETY: nothing in this program owns a descriptor above 2 yet; that of the directory just
        // read is closed already, and closing it again only fails with EBADF.
        unsafe { libc::close(fd) };
    }
    Ok(())
}
