//! Verifying page data against the checksum table, with several threads.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::error::{Error, Section};
use super::layout::{Frame, MAX_FRAME};
use super::reader::Reader;

impl Reader {
    /// Reads all page data and compares them with their checksums. `threads` counts the calling
    /// one; `progress` is called on it, now and then and at the end, with the number of bytes
    /// verified so far.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the offset of the first bad frame, whichever thread found it;
    /// [`Error::Io`].
    pub fn verify_pages(&self, threads: usize, progress: &dyn Fn(u64)) -> Result<(), Error> {
        let frames = self.frames()?;
        let work = Work { reader: self, frames: &frames, next: AtomicUsize::new(0), done: AtomicU64::new(0) };
        let helpers = threads.saturating_sub(1).min(frames.len());
        let first_bad = std::thread::scope(|scope| {
            let work = &work;
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(move || work.run(&|_| ()))).collect();
            let mut bad = work.run(progress).err();
            for helper in helpers {
                let theirs = helper.join().expect("a verifying thread does not panic").err();
                bad = match (bad, theirs) {
                    (Some(ours), Some(theirs)) => Some(if theirs.0 < ours.0 { theirs } else { ours }),
                    (ours, theirs) => ours.or(theirs),
                };
            }
            bad
        });
        match first_bad {
            Some((_, err)) => Err(err),
            None => {
                progress(work.done.into_inner());
                Ok(())
            }
        }
    }
}

/// Frames are handed out in ascending order and none after a bad one; so everything before a bad
/// frame is looked at, and the lowest finding is the first in the file.
struct Work<'a> {
    reader: &'a Reader,
    frames: &'a [Frame],
    next: AtomicUsize,
    done: AtomicU64,
}

impl Work<'_> {
    fn run(&self, progress: &dyn Fn(u64)) -> Result<(), (usize, Error)> {
        let mut buf = Vec::new();
        while let Some((number, frame)) = self.take() {
            self.check(frame, &mut buf).map_err(|err| {
                self.next.store(self.frames.len(), Ordering::Relaxed);
                (number, err)
            })?;
            let len = u64::from(frame.len);
            progress(self.done.fetch_add(len, Ordering::Relaxed) + len);
        }
        Ok(())
    }

    fn take(&self) -> Option<(usize, &Frame)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Some((number, self.frames.get(number)?))
    }

    fn check(&self, frame: &Frame, buf: &mut Vec<u8>) -> Result<(), Error> {
        if buf.is_empty() {
            buf.resize(MAX_FRAME, 0);
        }
        let bytes = &mut buf[..frame.len as usize];
        self.reader.read_pages(frame.offset, bytes)?;
        if self.reader.header().frame_sum().of(bytes) != frame.sum {
            return Err(Error::damaged(Section::Pages, frame.offset, "checksum does not match"));
        }
        Ok(())
    }
}
