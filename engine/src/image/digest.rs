//! A digest of memory contents that tells equal from different whatever the layout of the file.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize, Serializer};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::error::Error;
use super::layout::MAX_FRAME;
use super::reader::Reader;

/// Saved bytes: where they belong and where they are in the context file. Whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Virtual address, or offset in the object.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Offset in the context file.
    pub offset: u64,
}

/// What a page that is in no extent reads as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Zeros, as in anonymous and shared memory: a saved page of zeros and an absent one count as
    /// equal.
    Zeros,
    /// The contents of a file: a saved page of zeros differs from an absent one.
    File,
}

/// Equal digests mean equal addresses and contents. Prints as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Reader {
    /// Digests the contents of `extents`. The result depends on addresses and bytes alone: not on
    /// the order of the extents, on how memory was cut into them, or on where they lie in the file.
    ///
    /// It is xxh3-128 over, for each page by ascending address, the address and the xxh3-64 of the
    /// page, both as little-endian 64-bit numbers.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for extents that overlap, are not whole pages, or lie outside the page
    /// data; [`Error::Io`].
    pub fn digest(&self, extents: &[Extent], absent: Absent) -> Result<Digest, Error> {
        self.digest_without(extents, absent, &[])
    }

    /// As [`Reader::digest`], with the bytes at `volatile` (half-open ranges of addresses) taken
    /// for zeros: places that the kernel writes to by itself, which say nothing about the state.
    ///
    /// # Errors
    /// As [`Reader::digest`].
    pub fn digest_without(
        &self,
        extents: &[Extent],
        absent: Absent,
        volatile: &[Range<u64>],
    ) -> Result<Digest, Error> {
        let page_size = self.header().page_size as usize;
        let mut sorted = extents.to_vec();
        sorted.sort_unstable_by_key(|extent| extent.start);
        let mut hasher = Xxh3::new();
        // No larger than needed: callers ask about many small mappings in a row.
        let longest = sorted.iter().map(|extent| extent.len).max().unwrap_or(0);
        let mut buf = vec![0; longest.min(MAX_FRAME as u64) as usize];
        let mut free = 0;
        for extent in &sorted {
            let bad = |what| Error::BadRequest { offset: extent.offset, len: extent.len, what };
            if !(extent.start | extent.len).is_multiple_of(page_size as u64) {
                return Err(bad("an extent is not a multiple of the page size"));
            }
            let end = extent.start.checked_add(extent.len).filter(|_| extent.start >= free);
            free = end.ok_or_else(|| bad("extents overlap or wrap around"))?;
            let mut done = 0;
            while done < extent.len {
                let piece = &mut buf[..(extent.len - done).min(MAX_FRAME as u64) as usize];
                let offset = extent.offset.checked_add(done).ok_or_else(|| bad("outside the file"))?;
                self.read_pages(offset, piece)?;
                let here = extent.start + done..extent.start + done + piece.len() as u64;
                for place in volatile {
                    let (from, to) = (place.start.max(here.start), place.end.min(here.end));
                    if from < to {
                        piece[(from - here.start) as usize..(to - here.start) as usize].fill(0);
                    }
                }
                for (page, address) in
                    piece.chunks_exact(page_size).zip((extent.start + done..).step_by(page_size))
                {
                    if absent == Absent::File || page.iter().any(|&byte| byte != 0) {
                        hasher.update(&address.to_le_bytes());
                        hasher.update(&xxh3_64(page).to_le_bytes());
                    }
                }
                done += piece.len() as u64;
            }
        }
        Ok(Digest(hasher.digest128()))
    }
}
