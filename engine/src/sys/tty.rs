//! ioctl_tty(2) for pseudo-terminals, as far as `rustix` does not wrap it.

use super::cvt;
use crate::arch::TERMIOS;
use rustix::ioctl::{Opcode, opcode};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct termios2`, include/uapi/asm-generic/termbits.h; `struct termios` of POWER is the same in
/// another order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Termios {
    /// `c_iflag`
    pub input: u32,
    /// `c_oflag`
    pub output: u32,
    /// `c_cflag`
    pub control: u32,
    /// `c_lflag`
    pub local: u32,
    /// `c_line`
    pub line: u8,
    /// `c_cc`
    pub characters: [u8; 19],
    /// `c_ispeed`
    pub input_speed: u32,
    /// `c_ospeed`
    pub output_speed: u32,
}

/// Bytes of the struct.
const TERMIOS_SIZE: usize = 44;

/// Offsets of the flags and of the speeds, everywhere.
const WORDS: [usize; 6] = [0, 4, 8, 12, 36, 40];

impl Termios {
    fn parse(bytes: &[u8; TERMIOS_SIZE]) -> Self {
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let [input, output, control, local, input_speed, output_speed] = WORDS.map(word);
        let (line, at) = (bytes[TERMIOS.line], TERMIOS.characters);
        let characters = bytes[at..at + 19].try_into().expect("19 bytes");
        Termios { input, output, control, local, line, characters, input_speed, output_speed }
    }

    fn to_bytes(self) -> [u8; TERMIOS_SIZE] {
        let mut bytes = [0; TERMIOS_SIZE];
        let values = [self.input, self.output, self.control, self.local, self.input_speed, self.output_speed];
        for (at, value) in WORDS.into_iter().zip(values) {
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes[TERMIOS.line] = self.line;
        bytes[TERMIOS.characters..][..19].copy_from_slice(&self.characters);
        bytes
    }
}

const TIOCGPTN: Opcode = opcode::read::<u32>(b'T', 0x30);
const TIOCSPTLCK: Opcode = opcode::write::<i32>(b'T', 0x31);
const TIOCGDEV: Opcode = opcode::read::<u32>(b'T', 0x32);
const TIOCGPKT: Opcode = opcode::read::<i32>(b'T', 0x38);
const TIOCGPTLCK: Opcode = opcode::read::<i32>(b'T', 0x39);
const TIOCGEXCL: Opcode = opcode::read::<i32>(b'T', 0x40);
/// `_IO('T', 0x41)`
pub const TIOCGPTPEER: Opcode = opcode::none(b'T', 0x41);
const TIOCGLCKTRMIOS: Opcode = 0x5456;

/// Makes the terminal of descriptor argument 0 the controlling terminal of the calling session
/// leader.
pub const TIOCSCTTY: Opcode = libc::TIOCSCTTY as Opcode;
/// Sets the process group in the foreground.
pub const TIOCSPGRP: Opcode = libc::TIOCSPGRP as Opcode;

/// The settings of a terminal; asked of a master, those of the other side.
pub fn termios(fd: BorrowedFd<'_>) -> io::Result<Termios> {
    let mut bytes = [0; TERMIOS_SIZE];
    // SAFETY: the kernel writes as many bytes.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), TERMIOS.get as _, bytes.as_mut_ptr()) }.into())?;
    Ok(Termios::parse(&bytes))
}

/// Sets them at once.
pub fn set_termios(fd: BorrowedFd<'_>, termios: &Termios) -> io::Result<()> {
    let bytes = termios.to_bytes();
    // SAFETY: the kernel reads as many bytes.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), TERMIOS.set as _, bytes.as_ptr()) }.into()).map(drop)
}

/// Whether some settings are locked (`TIOCSLCKTRMIOS`).
pub fn has_locked_settings(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // struct termios of every architecture is not longer.
    let mut locked = [0u8; TERMIOS_SIZE];
    // SAFETY: the kernel writes a struct termios, for which there is room.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), TIOCGLCKTRMIOS as _, locked.as_mut_ptr()) }.into())?;
    Ok(locked.iter().any(|byte| *byte != 0))
}

fn number(fd: BorrowedFd<'_>, opcode: Opcode) -> io::Result<i32> {
    let mut value = 0i32;
    // SAFETY: the kernel writes an int.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), opcode as _, &raw mut value) }.into())?;
    Ok(value)
}

fn set_number(fd: BorrowedFd<'_>, opcode: Opcode, value: i32) -> io::Result<()> {
    // SAFETY: the kernel reads an int.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), opcode as _, &raw const value) }.into()).map(drop)
}

fn plain(fd: BorrowedFd<'_>, opcode: Opcode, value: i32) -> io::Result<i32> {
    // SAFETY: used with requests whose argument is a number.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), opcode as _, value) }.into()).map(|got| got as i32)
}

/// N of /dev/pts/N, asked of a master.
pub fn index(master: BorrowedFd<'_>) -> io::Result<u32> {
    number(master, TIOCGPTN).map(|index| index as u32)
}

/// The device that a terminal is, whatever it was opened by; asked of a master, the other side.
pub fn device(fd: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    let device = number(fd, TIOCGDEV)? as u32;
    // `new_encode_dev`, include/linux/kdev_t.h.
    Ok((device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00))
}

/// Line discipline of this side.
pub fn discipline(fd: BorrowedFd<'_>) -> io::Result<i32> {
    number(fd, libc::TIOCGETD as Opcode)
}

/// Bytes that a read would return.
pub fn readable(fd: BorrowedFd<'_>) -> io::Result<usize> {
    number(fd, libc::FIONREAD as Opcode).map(|count| count as usize)
}

/// Whether a master is in packet mode.
pub fn is_packet(master: BorrowedFd<'_>) -> io::Result<bool> {
    number(master, TIOCGPKT).map(|on| on != 0)
}

/// Switches packet mode on or off; its pending status is lost.
pub fn set_packet(master: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_number(master, libc::TIOCPKT as Opcode, on.into())
}

/// Whether the other side cannot be opened.
pub fn is_locked(master: BorrowedFd<'_>) -> io::Result<bool> {
    number(master, TIOCGPTLCK).map(|on| on != 0)
}

/// Locks or unlocks the other side.
pub fn set_locked(master: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_number(master, TIOCSPTLCK, on.into())
}

/// Whether only root may open it once more.
pub fn is_exclusive(fd: BorrowedFd<'_>) -> io::Result<bool> {
    number(fd, TIOCGEXCL).map(|on| on != 0)
}

/// Lets nobody but root open it once more.
pub fn set_exclusive(fd: BorrowedFd<'_>) -> io::Result<()> {
    plain(fd, libc::TIOCEXCL as Opcode, 0).map(drop)
}

/// Opens the other side of a master. `O_CLOEXEC` would stay a flag of the open file, which hides
/// the descriptors' in /proc (`ptm_open_peer_file` in drivers/tty/pty.c, unlike `build_open_flags`
/// in fs/open.c).
pub fn open_peer(master: BorrowedFd<'_>, flags: i32) -> io::Result<OwnedFd> {
    let fd = plain(master, TIOCGPTPEER, flags & !libc::O_CLOEXEC | libc::O_NOCTTY)?;
    // SAFETY: the descriptor is new.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Whether `O_CLOEXEC` is a flag of the open file; the descriptor is a duplicate that nobody else
/// uses.
pub fn hides_cloexec(fd: BorrowedFd<'_>) -> io::Result<bool> {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    Ok(flags.ok_or_else(|| io::Error::other("unknown format of fdinfo"))? & libc::O_CLOEXEC != 0)
}

/// The session whose controlling terminal it is, 0 for none, asked of a master.
pub fn session(master: BorrowedFd<'_>) -> io::Result<i32> {
    match number(master, libc::TIOCGSID as Opcode) {
        Err(err) if err.raw_os_error() == Some(libc::ENOTTY) => Ok(0),
        session => session,
    }
}

/// The process group in its foreground, 0 for none, asked of a master.
pub fn foreground(master: BorrowedFd<'_>) -> io::Result<i32> {
    number(master, libc::TIOCGPGRP as Opcode)
}

/// Stops or starts output as tcflow(3) does.
pub fn set_flow(fd: BorrowedFd<'_>, stopped: bool) -> io::Result<()> {
    plain(fd, libc::TCXONC as Opcode, if stopped { libc::TCOOFF } else { libc::TCOON }).map(drop)
}

/// Makes a terminal our controlling terminal; we must lead a session without one.
pub fn take(fd: BorrowedFd<'_>) -> io::Result<()> {
    plain(fd, TIOCSCTTY, 0).map(drop)
}
