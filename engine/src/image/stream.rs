//! A context file in a pipe, a socket or an open file: bytes in order, never rewritten.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

use super::error::Error;

/// The open end of a stream. One context file goes through it.
#[derive(Debug)]
pub struct Stream {
    file: File,
    name: PathBuf,
    state: Mutex<State>,
}

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
        Stream { file: File::from(fd), name: name.into(), state: Mutex::default() }
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
    /// [`Error::Taken`] when another one was begun, or the file is open behind other data: offsets
    /// count from its beginning.
    pub(super) fn begin(&self, header: &[u8], data_start: u64) -> Result<(), Error> {
        let mut state = self.state();
        let refuse = |what| {
            let advice = "a context file must start at offset 0: redirect to a new file or a pipe";
            Err(Error::Taken { path: self.name.clone(), what, advice })
        };
        if state.begun || rustix::fs::seek(&self.file, SeekFrom::Current(0)).is_ok_and(|at| at != 0) {
            return refuse("open at a nonzero offset");
        }
        if rustix::fs::fcntl_getfl(&self.file).is_ok_and(|flags| flags.contains(OFlags::APPEND))
            && self.file.metadata().is_ok_and(|meta| meta.len() != 0)
        {
            return refuse("not empty and open for appending");
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
            (&self.file).write_all(&header)?;
        }
        let offset = state.len;
        (&self.file).write_all(bytes)?;
        state.len += bytes.len() as u64;
        Ok(offset)
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
