//! FIFOs: pipes with a path.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::pipe::{self, Pipe};
use super::unlinked::{self, Unnamed};
use super::{Kind, Made, Verbs, Way};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

/// The state of a FIFO.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fifo(pub Pipe);

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    (seen.has_path() && seen.meta.file_type().is_fifo()).then(|| Ok(Kind::Fifo(Fifo::default())))
}

impl Verbs for Fifo {
    fn name(&self) -> &'static str {
        "FIFO"
    }

    fn is_shared_state(&self, _flags: i32) -> bool {
        true
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        self.0 = pipe::capture_ends(descriptors)?;
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        self.0.validate()
    }

    fn file_type(&self) -> u32 {
        libc::S_IFIFO
    }

    fn unlinked(&self) -> Result<Unnamed, &'static str> {
        Ok(Unnamed::Fifo)
    }

    fn is_made(&self) -> bool {
        true
    }

    fn make(&self, way: &Way<'_>) -> Result<Box<dyn Made>> {
        let state = self.0.clone();
        // The reader would see even a writer of ours.
        if state.never_written {
            return Ok(Box::new(OpenFifo { state, _fifo: None }));
        }
        let fifo = way.open(libc::O_RDWR | libc::O_NONBLOCK)?;
        pipe::rebuild(&state, fifo.as_fd())?;
        Ok(Box::new(OpenFifo { state, _fifo: Some(fifo) }))
    }

    fn enables_async_late(&self) -> bool {
        true
    }
}

/// Open for reading and writing, so that the contents stay until all descriptions are open.
struct OpenFifo {
    state: Pipe,
    _fifo: Option<OwnedFd>,
}

impl Made for OpenFifo {
    /// Does not wait for the other end.
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        way.open(flags | libc::O_NONBLOCK)
    }

    fn adjust(&self, _way: &Way<'_>, fd: &OwnedFd, flags: i32) -> Result<()> {
        pipe::set_capacity(&self.state, fd.as_fd())?;
        unlinked::set_flags(fd, flags)
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[];
