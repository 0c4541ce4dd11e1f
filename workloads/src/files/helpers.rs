//! Files with known contents, and their invariants.

use crate::framework::prelude::*;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};

/// Flags to create a file for reading and writing.
pub const MAKE: i32 = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;

/// A new file with `len` bytes of the stream of `key`, open for reading and writing, at its start.
pub fn make(path: &str, len: usize, key: u64) -> anyhow::Result<OwnedFd> {
    let file = fd::open(path, MAKE, 0o644)?;
    fd::write_all(&file, &pattern::bytes(len, key))?;
    fd::seek(&file, 0, libc::SEEK_SET)?;
    Ok(file)
}

/// The same, its name removed.
pub fn make_unlinked(path: &str, len: usize, key: u64) -> anyhow::Result<OwnedFd> {
    let file = make(path, len, key)?;
    remove(path)?;
    Ok(file)
}

/// unlink(2).
pub fn remove(path: &str) -> Outcome {
    std::fs::remove_file(path).with_context(|| format!("unlink {path}"))
}

/// The whole contents must be `len` bytes of the stream of `key`; the offset stays.
pub fn verify(what: &str, file: &impl AsRawFd, len: usize, key: u64) -> Outcome {
    expect_eq(&format!("{what}: size"), fd::stat(file)?.st_size, len as i64)?;
    pattern::verify(what, &fd::read_at(file, len, 0)?, key)
}

/// Device and inode.
pub fn inode(file: &impl AsRawFd) -> anyhow::Result<(libc::dev_t, libc::ino_t)> {
    let stat = fd::stat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Size, mode, owner, links, and for files with a name also times and inode: opening a file again
/// must not change them.
pub fn facts(file: &impl AsRawFd, named: bool) -> anyhow::Result<Vec<i64>> {
    let s = fd::stat(file)?;
    let mut facts =
        vec![s.st_size, i64::from(s.st_mode), i64::from(s.st_uid), i64::from(s.st_gid), s.st_nlink as i64];
    if named {
        facts.extend([s.st_ino as i64, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec]);
    }
    Ok(facts)
}

/// `path` must not exist.
pub fn expect_no_name(path: &str) -> Outcome {
    expect(std::fs::symlink_metadata(path).is_err(), || format!("{path} exists"))
}

/// The next names of a directory, from one getdents64(2) with a buffer of `room` bytes; `.` and
/// `..` left out. `None` at the end.
pub fn read_directory(fd: &impl AsRawFd, room: usize) -> anyhow::Result<Option<Vec<String>>> {
    let mut buffer = vec![0u8; room];
    // SAFETY: the buffer has `room` bytes.
    let got = sys::check("getdents64", unsafe {
        libc::syscall(libc::SYS_getdents64, fd.as_raw_fd(), buffer.as_mut_ptr(), room)
    })? as usize;
    let (mut names, mut at) = (Vec::new(), 0);
    while at < got {
        // struct linux_dirent64: inode 8, offset 8, length 2, type 1, name.
        let len = usize::from(u16::from_ne_bytes([buffer[at + 16], buffer[at + 17]]));
        let name = buffer[at + 19..at + len].split(|b| *b == 0).next().unwrap_or_default();
        if name != b"." && name != b".." {
            names.push(String::from_utf8_lossy(name).into_owned());
        }
        at += len;
    }
    Ok((got != 0).then_some(names))
}

/// memfd_create(2).
pub fn memfd(name: &std::ffi::CStr, flags: libc::c_uint) -> anyhow::Result<OwnedFd> {
    // SAFETY: the name lives through the call.
    let fd = sys::check("memfd_create", unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    // SAFETY: the descriptor is new.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `F_GET_SEALS`
pub fn seals(file: &impl AsRawFd) -> anyhow::Result<i32> {
    fd::fcntl(file, libc::F_GET_SEALS, 0)
}

/// `F_ADD_SEALS`
pub fn seal(file: &impl AsRawFd, seals: i32) -> Outcome {
    fd::fcntl(file, libc::F_ADD_SEALS, seals).map(drop)
}

/// Its name in /proc.
pub fn link_of(file: &impl AsRawFd) -> anyhow::Result<String> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).context("readlink")?;
    Ok(link.to_string_lossy().into_owned())
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: start, l_len: len, l_pid: 0 }
}

/// flock(2).
pub fn flock(file: &impl AsRawFd, how: i32) -> anyhow::Result<i32> {
    // SAFETY: numbers only.
    sys::check("flock", unsafe { libc::flock(file.as_raw_fd(), how) })
}

/// `command` (`F_SETLK` …) with a lock of this kind (`F_RDLCK` …) on `len` bytes, 0 for all that
/// follow.
pub fn lock(file: &(impl AsRawFd + ?Sized), command: i32, kind: i32, start: i64, len: i64) -> Outcome {
    let flock = range(kind, start, len);
    // SAFETY: the struct lives through the call.
    sys::check("lock", unsafe { libc::fcntl(file.as_raw_fd(), command, &flock) }).map(drop)
}

/// `F_GETLK`: a lock of another process that is in the way of this one.
pub fn conflict(file: &impl AsRawFd, kind: i32, start: i64, len: i64) -> anyhow::Result<libc::flock> {
    let mut flock = range(kind, start, len);
    // SAFETY: as above.
    sys::check("F_GETLK", unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut flock) })?;
    Ok(flock)
}
