//! Pseudo-terminals by their system calls.

use crate::framework::prelude::*;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Both sides of a pseudo-terminal.
pub struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
    pub index: u32,
}

/// `_IOR('T', 0x30, unsigned int)`, `_IOW('T', 0x31, int)` and so on,
/// include/uapi/asm-generic/ioctls.h.
const TIOCGPTN: u64 = ioc(READ, b'T', 0x30, 4);
const TIOCSPTLCK: u64 = ioc(WRITE, b'T', 0x31, 4);
pub const TIOCGPKT: u64 = ioc(READ, b'T', 0x38, 4);
pub const TIOCGPTLCK: u64 = ioc(READ, b'T', 0x39, 4);
pub const TIOCGEXCL: u64 = ioc(READ, b'T', 0x40, 4);

const READ: u64 = if cfg!(target_arch = "powerpc64") { 0x4000_0000 } else { 0x8000_0000 };
const WRITE: u64 = READ ^ 0xc000_0000;

const fn ioc(direction: u64, group: u8, number: u64, size: u64) -> u64 {
    direction | size << 16 | (group as u64) << 8 | number
}

/// Not that of a new one.
const MODE: u32 = 0o604;

impl Pty {
    /// A new one, both sides open.
    pub fn new() -> anyhow::Result<Self> {
        let (master, index) = master()?;
        let slave = fd::open(path(index), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC, 0)?;
        // SAFETY: fchmod takes no memory.
        sys::check("fchmod", unsafe { libc::fchmod(slave.as_raw_fd(), MODE) })?;
        Ok(Pty { master, slave, index })
    }

    /// A new one that passes everything on unchanged, and echoes nothing.
    pub fn raw() -> anyhow::Result<Self> {
        let pty = Self::new()?;
        set(&pty.slave, |termios| {
            (termios.c_iflag, termios.c_oflag, termios.c_lflag) = (0, 0, 0);
            (termios.c_cc[libc::VMIN], termios.c_cc[libc::VTIME]) = (1, 0);
        })?;
        Ok(pty)
    }

    /// It must still be the same, at both sides.
    pub fn expect_numbers(&self) -> Outcome {
        expect_eq("number", number(&self.master, TIOCGPTN)?, self.index.cast_signed())?;
        let device = fd::stat(&self.slave)?.st_rdev;
        let by_name = std::fs::metadata(path(self.index))?;
        // SAFETY: geteuid has no preconditions.
        let user = unsafe { libc::geteuid() };
        expect_eq("owner and mode", (by_name.uid(), by_name.mode() & 0o7777), (user, MODE))?;
        expect_eq("device", (device, by_name.rdev()), (by_name.rdev(), device))?;
        expect_eq("minor number", libc::minor(device), self.index)
    }
}

/// The master of a new one that is not locked, and N of /dev/pts/N.
pub fn master() -> anyhow::Result<(OwnedFd, u32)> {
    if !std::path::Path::new("/dev/ptmx").exists() {
        skip("there is no /dev/ptmx")?;
    }
    let master = fd::open("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC, 0)?;
    lock(&master, false)?;
    let index = number(&master, TIOCGPTN)?.cast_unsigned();
    Ok((master, index))
}

/// Its name.
pub fn path(index: u32) -> PathBuf {
    PathBuf::from(format!("/dev/pts/{index}"))
}

/// Closes what this process, a child, has inherited and uses no more.
pub fn close_copy(of: &OwnedFd) {
    // SAFETY: the value is the parent's; its copy here is never dropped ([`fork`]).
    unsafe { libc::close(of.as_raw_fd()) };
}

/// An ioctl(2) that returns a number.
pub fn number(of: &OwnedFd, request: u64) -> anyhow::Result<i32> {
    let mut value = 0;
    // SAFETY: the kernel writes an int.
    sys::check("ioctl", unsafe { libc::ioctl(of.as_raw_fd(), request as _, &raw mut value) })
        .with_context(|| format!("request {request:#x}"))?;
    Ok(value)
}

/// An ioctl(2) that takes a pointer to a number.
pub fn set_number(of: &OwnedFd, request: u64, value: i32) -> Outcome {
    // SAFETY: the kernel reads an int.
    sys::check("ioctl", unsafe { libc::ioctl(of.as_raw_fd(), request as _, &raw const value) })
        .with_context(|| format!("request {request:#x}"))?;
    Ok(())
}

/// An ioctl(2) that takes a number.
pub fn request(of: &OwnedFd, request: u64, value: i32) -> Outcome {
    // SAFETY: the kernel takes no pointer.
    sys::check("ioctl", unsafe { libc::ioctl(of.as_raw_fd(), request as _, value) })
        .with_context(|| format!("request {request:#x}"))?;
    Ok(())
}

/// TIOCSPTLCK.
pub fn lock(master: &OwnedFd, on: bool) -> Outcome {
    set_number(master, TIOCSPTLCK, on.into())
}

/// tcgetattr(3).
pub fn settings(of: &OwnedFd) -> anyhow::Result<libc::termios> {
    // SAFETY: plain data, which the call fills.
    unsafe {
        let mut termios: libc::termios = std::mem::zeroed();
        sys::check("tcgetattr", libc::tcgetattr(of.as_raw_fd(), &mut termios))?;
        Ok(termios)
    }
}

/// Changes settings.
pub fn set(of: &OwnedFd, change: impl Fn(&mut libc::termios)) -> Outcome {
    let mut termios = settings(of)?;
    change(&mut termios);
    // SAFETY: the struct is live.
    sys::check("tcsetattr", unsafe { libc::tcsetattr(of.as_raw_fd(), libc::TCSANOW, &termios) })?;
    Ok(())
}

/// Rows, columns and pixels.
pub fn size(of: &OwnedFd) -> anyhow::Result<[u16; 4]> {
    let mut size = [0u16; 4];
    // SAFETY: struct winsize is four of them.
    sys::check("ioctl(TIOCGWINSZ)", unsafe {
        libc::ioctl(of.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr())
    })?;
    Ok(size)
}

/// Sets them.
pub fn set_size(of: &OwnedFd, size: [u16; 4]) -> Outcome {
    // SAFETY: struct winsize is four of them.
    sys::check("ioctl(TIOCSWINSZ)", unsafe { libc::ioctl(of.as_raw_fd(), libc::TIOCSWINSZ, size.as_ptr()) })?;
    Ok(())
}

/// Begins a session with this controlling terminal.
pub fn begin_session(slave: &OwnedFd) -> Outcome {
    crate::tree::helpers::new_session()?;
    request(slave, libc::TIOCSCTTY, 0)
}

/// The process group in the foreground, asked of a master.
pub fn foreground(of: &OwnedFd) -> anyhow::Result<i32> {
    number(of, libc::TIOCGPGRP)
}

/// Puts a process group into the foreground.
pub fn set_foreground(of: &OwnedFd, group: i32) -> Outcome {
    set_number(of, libc::TIOCSPGRP, group)
}

/// The session, asked of a master.
pub fn session(of: &OwnedFd) -> anyhow::Result<i32> {
    number(of, libc::TIOCGSID)
}

/// Reads one line, or what else a read(2) returns.
pub fn read_line(from: &OwnedFd) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&fd::read_some(from, 8192)?).into_owned())
}

/// Reads exactly this from one side.
pub fn expect_read(what: &str, from: &OwnedFd, want: &[u8]) -> Outcome {
    expect_bytes(what, &fd::read_all(from, want.len())?, want)
}

/// Nothing more may arrive there.
pub fn expect_nothing(what: &str, from: &OwnedFd) -> Outcome {
    expect_eq(what, fd::ready_for(from, libc::POLLIN)? & libc::POLLIN, 0)
}
