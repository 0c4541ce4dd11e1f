//! kcmp(2): do two tasks share a kernel object?

use super::cvt;
use std::cmp::Ordering;
use std::io;

/// What to compare, include/uapi/linux/kcmp.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// Open file descriptions behind two descriptors.
    File = 0,
    /// Address spaces.
    Vm = 1,
    /// Descriptor tables.
    Files = 2,
    /// Root, cwd and umask.
    Fs = 3,
    /// Signal actions.
    Sighand = 4,
}

/// Compares by the kernel's own (obfuscated) order of the objects, so that many can be sorted. `a` and `b` are the descriptors for
/// [`Kind::File`], else 0.
///
/// # Errors
/// EBADF for a closed descriptor, ESRCH, EPERM, ENOSYS without `CONFIG_KCMP`.
pub fn kcmp(pid1: i32, pid2: i32, kind: Kind, a: u64, b: u64) -> io::Result<Ordering> {
    // SAFETY: kcmp takes numbers only.
    let order = cvt(unsafe { libc::syscall(libc::SYS_kcmp, pid1, pid2, kind as i32, a, b) })?;
    match order {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        2 => Ok(Ordering::Greater),
        other => Err(io::Error::other(format!("kcmp gave no order: {other}"))),
    }
}
