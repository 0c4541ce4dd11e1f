//! fcntl(2) of asynchronous I/O; opening a path without following symbolic links.

use super::cvt;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `struct f_owner_ex`, include/uapi/asm-generic/fcntl.h.
#[repr(C)]
struct OwnerEx {
    kind: i32,
    pid: i32,
}

/// Major and minor number of a device, as /proc shows them.
pub fn device_numbers(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

/// statfs(2) on NFS, include/uapi/linux/magic.h.
pub const NFS_SUPER_MAGIC: i64 = 0x6969;
/// statfs(2) on FUSE, include/uapi/linux/magic.h.
pub const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;
/// statfs(2) on CIFS, include/uapi/linux/magic.h.
pub const CIFS_SUPER_MAGIC: i64 = 0xff53_4d42;
/// statfs(2) on SMB 2 and 3, include/uapi/linux/magic.h.
pub const SMB2_SUPER_MAGIC: i64 = 0xfe53_4d42;

const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

/// Kind and id of the owner of asynchronous I/O.
pub fn owner(fd: BorrowedFd<'_>) -> io::Result<(i32, i32)> {
    let mut owner = OwnerEx { kind: 0, pid: 0 };
    // SAFETY: the struct is live and as the kernel lays it out.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWN_EX, &mut owner) }.into())?;
    Ok((owner.kind, owner.pid))
}

/// Sets the owner; the process must exist.
pub fn set_owner(fd: BorrowedFd<'_>, kind: i32, id: i32) -> io::Result<()> {
    let owner = OwnerEx { kind, pid: id };
    // SAFETY: as above.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETOWN_EX, &owner) }.into()).map(drop)
}

/// The signal sent to the owner, 0 for SIGIO.
pub fn signal(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETSIG) }.into()).map(|s| s as i32)
}

/// Sets the signal.
pub fn set_signal(fd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, signal) }.into()).map(drop)
}

/// Opens a path that contains no symbolic link, except as its last component with `O_PATH`, which
/// opens the link itself. Paths from /proc contain none unless one was created since: ELOOP.
pub fn open_directly(path: &Path, flags: OFlags) -> io::Result<File> {
    let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat2(CWD, path, flags, Mode::empty(), links)?))
}

/// The magic link of a descriptor of this process.
pub fn link_to(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// `_IOW(0x8a, 1, struct epoll_params)`, include/uapi/linux/eventpoll.h.
pub const EPIOCSPARAMS: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<[u8; 8]>(0x8a, 1);
/// `_IOR(0x8a, 2, struct epoll_params)`
const EPIOCGPARAMS: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<[u8; 8]>(0x8a, 2);

/// The parameters of an epoll instance, `struct epoll_params`; zeros before Linux 6.9.
pub fn epoll_params(fd: &impl AsRawFd) -> io::Result<[u8; 8]> {
    let mut params = [0; 8];
    // SAFETY: the kernel writes eight bytes.
    match cvt(unsafe { libc::ioctl(fd.as_raw_fd(), EPIOCGPARAMS as _, params.as_mut_ptr()) }.into()) {
        Err(err) if !matches!(err.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) => Err(err),
        _ => Ok(params),
    }
}

/// `struct file_handle` with room for `MAX_HANDLE_SZ` bytes, include/uapi/linux/fcntl.h.
#[repr(C)]
struct FileHandle {
    len: u32,
    kind: i32,
    bytes: [u8; 128],
}

/// open_by_handle_at(2), for a file of the file system that `root` is in, which may be a handle
/// (`O_PATH`). The call takes no handle, but the working directory: here that of a thread of its
/// own.
pub fn open_by_handle(root: BorrowedFd<'_>, kind: i32, bytes: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let mut handle = FileHandle { len: bytes.len() as u32, kind, bytes: [0; 128] };
    let room = handle.bytes.get_mut(..bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
    room.copy_from_slice(bytes);
    with_directory(root, false, || {
        // SAFETY: the handle is live and as long as it says.
        let fd = cvt(unsafe {
            libc::syscall(libc::SYS_open_by_handle_at, libc::AT_FDCWD, &raw mut handle, flags)
        })?;
        // SAFETY: the descriptor is new.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    })?
}

/// Runs `act` in a thread whose working directory this is and, if asked for, its root directory.
///
/// # Errors
/// As fchdir(2); EPERM without CAP_SYS_CHROOT.
pub fn with_directory<T: Send>(
    directory: BorrowedFd<'_>,
    as_root: bool,
    act: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let enter = || {
        // SAFETY: the thread ends with the directories that it has from here on.
        cvt(unsafe { libc::unshare(libc::CLONE_FS) }.into())?;
        rustix::process::fchdir(directory)?;
        if as_root {
            rustix::process::chroot(".")?;
        }
        Ok(act())
    };
    std::thread::scope(|scope| scope.spawn(enter).join()).expect("the thread does not panic")
}
