//! Memory tags (arm64 MTE): four bits for every 16 bytes of memory, read by ptrace(2) only.

use super::Range;
use crate::error::{Context, Result};
use crate::resource::bytes::Bytes;
use crate::sys::{page_size, ptrace};
use serde::{Deserialize, Serialize};

/// Bytes of memory that share a tag (Documentation/arch/arm64/memory-tagging-extension.rst).
const GRANULE: u64 = 16;

/// The tags of one page, not all 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// Address of the page.
    pub start: u64,
    /// Two tags per byte, the one of the lower address in the lower half.
    pub tags: Bytes,
}

/// Reads the tags of pages in a stopped thread's address space; pages with only 0 are omitted.
///
/// # Errors
/// What ptrace(2) reports.
pub fn capture(tid: i32, pages: &[Range]) -> Result<Vec<Tags>> {
    let mut all = Vec::new();
    let mut tags = vec![0u8; (page_size() / GRANULE) as usize];
    for start in pages.iter().flat_map(|range| range.clone().step_by(page_size() as usize)) {
        let mut have = 0;
        while have < tags.len() {
            let from = start + have as u64 * GRANULE;
            have += ptrace::peek_tags(tid, from, &mut tags[have..])
                .context(|| format!("read memory tags of {tid} at {from:#x}"))?;
        }
        if tags.iter().any(|tag| *tag != 0) {
            all.push(Tags { start, tags: Bytes(pack(&tags)) });
        }
    }
    Ok(all)
}

fn pack(tags: &[u8]) -> Vec<u8> {
    tags.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4).collect()
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    packed.iter().flat_map(|pair| [pair & 0xf, pair >> 4]).collect()
}

impl Tags {
    /// Writes the tags through a stopped thread of the process.
    ///
    /// # Errors
    /// What ptrace(2) reports.
    pub fn rebuild(&self, tid: i32) -> Result<()> {
        let tags = unpack(&self.tags.0);
        let mut done = 0;
        while done < tags.len() {
            let to = self.start + done as u64 * GRANULE;
            done += ptrace::poke_tags(tid, to, &tags[done..])
                .context(|| format!("write memory tags of {tid} at {to:#x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_packed_two_to_a_byte() {
        assert_eq!(pack(&[1, 2, 15, 0]), [0x21, 0x0f]);
        assert_eq!(unpack(&[0x21, 0x0f]), [1, 2, 15, 0]);
    }
}
