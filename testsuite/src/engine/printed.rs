//! The output of a program, read while it runs, up to a limit.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// One output stream of a program: the read end of its pipe, and the writer its bytes are copied
/// to.
pub struct Printed<W> {
    pipe: OwnedFd,
    into: W,
    /// The program's name for error messages.
    who: String,
    stream: &'static str,
    limit: u64,
    left: u64,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum PrintedError {
    /// The output exceeds the limit.
    #[error("{who} printed more than {limit} bytes on {stream}")]
    TooMuch {
        /// The program's name.
        who: String,
        /// The stream's name.
        stream: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The pipe cannot be read, or the file cannot be written.
    #[error("keep what {who} prints on {stream}: {source}")]
    Io {
        /// The program's name.
        who: String,
        /// The stream's name.
        stream: &'static str,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
}

impl<W: Write> Printed<W> {
    /// Reads from `pipe`, up to `limit` bytes.
    ///
    /// # Errors
    /// Those of ioctl(2).
    pub fn new(
        pipe: impl Into<OwnedFd>,
        into: W,
        who: &str,
        stream: &'static str,
        limit: u64,
    ) -> io::Result<Self> {
        let pipe = pipe.into();
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Printed { pipe, into, who: who.to_owned(), stream, limit, left: limit })
    }

    /// Reads what is available now. Returns whether more may follow.
    ///
    /// # Errors
    /// [`PrintedError`]; the rest of the output is lost.
    pub fn drain(&mut self) -> Result<bool, PrintedError> {
        let mut buffer = [0; 16 << 10];
        loop {
            let n = match rustix::io::read(&self.pipe, &mut buffer) {
                Ok(0) => return Ok(false),
                Ok(n) => n,
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.io_error(errno.into())),
            };
            let Some(left) = self.left.checked_sub(n as u64) else {
                let (who, stream, limit) = (self.who.clone(), self.stream, self.limit);
                return Err(PrintedError::TooMuch { who, stream, limit });
            };
            self.left = left;
            self.into.write_all(&buffer[..n]).map_err(|source| self.io_error(source))?;
        }
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.into
    }

    fn io_error(&self, source: io::Error) -> PrintedError {
        PrintedError::Io { who: self.who.clone(), stream: self.stream, source }
    }
}

impl<W> AsFd for Printed<W> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_to_the_byte() {
        let (read, mut write) = io::pipe().unwrap();
        let mut printed = Printed::new(read, Vec::new(), "it", "standard output", 5).unwrap();
        write.write_all(b"12").unwrap();
        assert!(printed.drain().unwrap());
        write.write_all(b"345").unwrap();
        assert!(printed.drain().unwrap());
        write.write_all(b"6").unwrap();
        let error = printed.drain().unwrap_err();
        assert_eq!(error.to_string(), "it printed more than 5 bytes on standard output");
        assert_eq!(printed.into_inner(), b"12345");
    }

    #[test]
    fn the_end_is_told() {
        let (read, write) = io::pipe().unwrap();
        let mut printed = Printed::new(read, Vec::new(), "it", "standard error", 5).unwrap();
        drop(write);
        assert!(!printed.drain().unwrap());
    }
}
