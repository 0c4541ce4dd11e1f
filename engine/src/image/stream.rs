//! A context file in a pipe, a socket or an open file: bytes in order, never rewritten.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

use super::error::Error;

/// The open end of a stream. One context file goes through it.
#[derive(Debug)]
pub struct Stream {
    file: File,
    name: PathBuf,
    patience: Duration,
    state: Mutex<State>,
}

/// `PIPE_BUF`: a pipe that is ready takes as much without blocking.
const PIECE: usize = 4096;

#[derive(Debug, Default)]
struct State {
    /// The header, until the first byte after it is written: an attempt that fails before then
    /// leaves the stream empty, and can be repeated.
    header: Vec<u8>,
    /// Bytes of the context file, the unwritten header included.
    len: u64,
    /// Whether the header was written.
    begun: bool,
}

impl Stream {
    /// `name` is for messages.
    pub fn new(fd: OwnedFd, name: impl Into<PathBuf>) -> Stream {
        const PATIENCE: Duration = Duration::from_secs(30);
        Stream { file: File::from(fd), name: name.into(), patience: PATIENCE, state: Mutex::default() }
    }

    /// A write waits this long for the other end to read before it fails; the job is stopped
    /// meanwhile. A read waits as long as the other end is there: nothing is held up by it.
    pub fn with_patience(self, patience: Duration) -> Stream {
        Stream { patience, ..self }
    }

    /// Its name in messages.
    pub fn path(&self) -> &Path {
        &self.name
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no append panicked")
    }

    /// Begins a context file with this header, which is padded to `data_start`.
    ///
    /// # Errors
    /// [`Error::Taken`] when another one was begun, for a file that is not empty or a device, and
    /// without a right to write.
    pub(super) fn begin(&self, header: &[u8], data_start: u64) -> Result<(), Error> {
        let mut state = self.state();
        let refuse = |what| {
            let advice = "a context file must start at offset 0: redirect to a new file or a pipe";
            Err(Error::Taken { path: self.name.clone(), what, advice })
        };
        let meta = self.file.metadata().map_err(|err| Error::io("stat", &self.name, err))?;
        let flags =
            rustix::fs::fcntl_getfl(&self.file).map_err(|errno| Error::io("use", &self.name, errno))?;
        if flags & OFlags::RWMODE == OFlags::RDONLY {
            return refuse("not open for writing");
        }
        // What is closed when a program starts is /dev/null in it.
        if meta.file_type().is_char_device() {
            return refuse("a device, or closed");
        }
        if state.begun || rustix::fs::seek(&self.file, SeekFrom::Current(0)).is_ok_and(|at| at != 0) {
            return refuse("open at a nonzero offset");
        }
        if meta.is_file() && meta.len() != 0 {
            return refuse("a file that is not empty");
        }
        let mut header = header.to_vec();
        header.resize(data_start as usize, 0);
        *state = State { header, len: data_start, begun: false };
        Ok(())
    }

    /// Appends bytes; returns their offset in the context file.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let mut state = self.state();
        if !state.begun {
            state.begun = true;
            let header = std::mem::take(&mut state.header);
            self.write_all(&header)?;
        }
        let offset = state.len;
        self.write_all(bytes)?;
        state.len += bytes.len() as u64;
        Ok(offset)
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let is_file = self.file.metadata()?.is_file();
        while !bytes.is_empty() {
            let piece = if is_file { bytes } else { &bytes[..bytes.len().min(PIECE)] };
            if !is_file {
                self.await_ready(PollFlags::OUT, Some(self.patience))?;
            }
            match (&self.file).write(piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => bytes = &bytes[len..],
                Err(err) if is_transient(&err) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// Reads some bytes; 0 at the end.
    pub(super) fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            self.await_ready(PollFlags::IN, None)?;
            match (&self.file).read(room) {
                Err(err) if is_transient(&err) => {}
                other => return other,
            }
        }
    }

    fn await_ready(&self, events: PollFlags, patience: Option<Duration>) -> io::Result<()> {
        let seconds = patience.map(|patience| patience.as_secs());
        let timeout = seconds.map(|seconds| Timespec { tv_sec: seconds as i64, tv_nsec: 0 });
        loop {
            match poll(&mut [PollFd::new(&self.file, events)], timeout.as_ref()) {
                Ok(0) => {
                    let seconds = seconds.unwrap_or_default();
                    let what = format!("the other end read nothing for {seconds} s");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Bytes of the context file so far.
    pub(super) fn len(&self) -> u64 {
        self.state().len
    }

    /// A descriptor of the same open file, to read from.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub(super) fn duplicate(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(|err| Error::io("duplicate", &self.name, err))
    }

    /// Waits for the disk, where there is one.
    pub(super) fn sync(&self) -> Result<(), Error> {
        match rustix::fs::fsync(&self.file) {
            // fsync(2): a pipe, a socket, a device.
            Err(Errno::INVAL | Errno::ROFS) => Ok(()),
            other => other.map_err(|errno| Error::io("sync", &self.name, errno)),
        }
    }
}

/// Of a descriptor that does not block, or a signal.
fn is_transient(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
