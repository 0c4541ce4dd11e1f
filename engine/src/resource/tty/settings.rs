//! The settings of a terminal (termios(3)), and its size.

use crate::resource::bytes::Bytes;
use crate::sys::signals;
use crate::sys::tty::{self, Termios};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::BorrowedFd;

/// `struct termios2` without the line discipline, and `struct winsize`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `c_iflag`
    pub input: u32,
    /// `c_oflag`
    pub output: u32,
    /// `c_cflag`
    pub control: u32,
    /// `c_lflag`
    pub local: u32,
    /// `c_cc`
    pub characters: Bytes,
    /// `c_ispeed` and `c_ospeed`; 0 if it is not known.
    #[serde(default)]
    pub speeds: (u32, u32),
    /// Rows and columns.
    pub size: (u16, u16),
    /// Width and height in pixels.
    #[serde(default)]
    pub pixels: (u16, u16),
}

impl Settings {
    /// Those of a terminal; asked of a master, those of the other side.
    ///
    /// # Errors
    /// ENOTTY.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let (now, size) = (tty::termios(fd)?, tcgetwinsize(fd)?);
        Ok(Settings {
            input: now.input,
            output: now.output,
            control: now.control,
            local: now.local,
            characters: Bytes(now.characters.to_vec()),
            speeds: (now.input_speed, now.output_speed),
            size: (size.ws_row, size.ws_col),
            pixels: (size.ws_xpixel, size.ws_ypixel),
        })
    }

    /// Sets them all but the size, also from the background.
    ///
    /// # Errors
    /// As tcsetattr(3).
    pub fn set(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let termios = self.over(tty::termios(fd)?);
        signals::without(libc::SIGTTOU, || tty::set_termios(fd, &termios))
    }

    /// Sets the size.
    ///
    /// # Errors
    /// As ioctl_tty(2).
    pub fn set_size(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let ((ws_row, ws_col), (ws_xpixel, ws_ypixel)) = (self.size, self.pixels);
        Ok(tcsetwinsize(fd, Winsize { ws_row, ws_col, ws_xpixel, ws_ypixel })?)
    }

    /// A terminal's settings with these instead.
    fn over(&self, now: Termios) -> Termios {
        let Settings { input, output, control, local, speeds, .. } = *self;
        let mut termios = Termios { input, output, control, local, ..now };
        for (now, wanted) in termios.characters.iter_mut().zip(&self.characters.0) {
            *now = *wanted;
        }
        if speeds != (0, 0) {
            (termios.input_speed, termios.output_speed) = speeds;
        }
        termios
    }

    /// Checks that there are no more special characters than a terminal has.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        let most = libc::NCCS;
        if self.characters.0.len() > most { Err("invalid settings of a terminal".into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn settings_come_back() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let fd = pty.slave.as_fd();
        let before = Settings::of(fd).unwrap();
        let mut raw = nix::sys::termios::tcgetattr(fd).unwrap();
        nix::sys::termios::cfmakeraw(&mut raw);
        raw.control_chars[libc::VINTR] = 7;
        nix::sys::termios::tcsetattr(fd, nix::sys::termios::SetArg::TCSANOW, &raw).unwrap();
        let changed = Settings { size: (7, 9), pixels: (70, 90), ..Settings::of(fd).unwrap() };
        changed.set_size(fd).unwrap();
        assert_ne!(changed, before);
        assert_eq!(Settings::of(pty.master.as_fd()).unwrap(), changed);
        before.set(fd).unwrap();
        before.set_size(fd).unwrap();
        assert_eq!(Settings::of(fd).unwrap(), before);
        changed.set(fd).unwrap();
        changed.set_size(fd).unwrap();
        assert_eq!(Settings::of(fd).unwrap(), changed);
    }

    #[test]
    fn what_is_no_terminal_has_none() {
        let (end, _other) = rustix::pipe::pipe().unwrap();
        assert_eq!(Settings::of(end.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
