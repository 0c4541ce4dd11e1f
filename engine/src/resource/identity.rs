//! The identity of a named file, by which a restart checks that it is still the one the job uses.
//!
//! Metadata is read while the job is stopped. Contents are read after it has resumed, so that the
//! pause does not get longer, and count only if the file has not changed by then.

use super::bytes::Bytes;
use crate::sys;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use xxhash_rust::xxh3::Xxh3;

/// A named file as it was at the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime: i64,
    /// Further metadata; `None` in files of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
    /// Digest of its contents, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

/// Metadata that identifies the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Major and minor number.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// User and group.
    pub owner: (u32, u32),
    /// Time of the last status change in nanoseconds since the epoch; no system call sets it.
    pub ctime: i64,
}

/// A short representation of a file's contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// `NT_GNU_BUILD_ID` of an ELF file.
    BuildId(Bytes),
    /// xxh3-64 of the whole file.
    Digest(u64),
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::BuildId(id) => {
                f.write_str("build id ")?;
                id.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Content::Digest(digest) => write!(f, "digest {digest:016x}"),
        }
    }
}

impl Identity {
    /// Everything but the contents.
    pub fn of(meta: &Metadata) -> Self {
        let nanos = |s: i64, ns: i64| s * 1_000_000_000 + ns;
        Identity {
            size: meta.len(),
            mtime: nanos(meta.mtime(), meta.mtime_nsec()),
            node: Some(Node {
                device: sys::file::device_numbers(meta.dev()),
                inode: meta.ino(),
                owner: (meta.uid(), meta.gid()),
                ctime: nanos(meta.ctime(), meta.ctime_nsec()),
            }),
            content: None,
        }
    }

    /// Whether the file has not been touched in between. Its device number may differ: it can
    /// change with every boot.
    pub fn is_untouched(&self, now: &Identity) -> bool {
        let node = |identity: &Identity| identity.node.map(|n| (n.inode, n.owner, n.ctime));
        let same_node = self.node.is_none() || node(self) == node(now);
        (self.size, self.mtime) == (now.size, now.mtime) && same_node
    }
}

impl Content {
    /// Computes the same kind of content identity over the first `size` bytes of a file.
    ///
    /// # Errors
    /// Errors of read(2).
    pub fn same_of(&self, file: &File, size: u64) -> io::Result<Option<Content>> {
        match self {
            Content::BuildId(_) => build_id(file),
            Content::Digest(_) => digest(file, size),
        }
    }
}

/// Opens the file of a handle for reading, without updating the access time where that is possible.
///
/// # Errors
/// As open(2).
pub fn reopen_to_read(handle: &File) -> io::Result<File> {
    let link = sys::file::link_to(handle);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |flags| rustix::fs::open(&link, flags, rustix::fs::Mode::empty());
    // O_NOATIME takes ownership or CAP_FOWNER.
    Ok(File::from(open(flags | OFlags::NOATIME).or_else(|_| open(flags))?))
}

/// xxh3-64 of the first `size` bytes; `None` when the file is shorter.
pub fn digest(file: &File, size: u64) -> io::Result<Option<Content>> {
    const STEP: u64 = 256 << 10;
    let mut hasher = Xxh3::new();
    let mut buf = vec![0u8; STEP.min(size) as usize];
    let mut at = 0;
    while at < size {
        let room = STEP.min(size - at) as usize;
        match file.read_at(&mut buf[..room], at)? {
            0 => return Ok(None),
            len => {
                hasher.update(&buf[..len]);
                at += len as u64;
            }
        }
    }
    Ok(Some(Content::Digest(hasher.digest())))
}

/// The build id of a 64-bit ELF file in this machine's byte order (elf(5)); `None` for other files.
pub fn build_id(file: &File) -> io::Result<Option<Content>> {
    const PT_NOTE: u32 = 4;
    /// Limit for program headers and for notes of a valid file.
    const MOST: usize = 64 << 10;
    let mut header = [0u8; 64];
    if file.read_at(&mut header, 0)? < header.len() {
        return Ok(None);
    }
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    if header[..6] != [0x7f, b'E', b'L', b'F', 2, order] {
        return Ok(None);
    }
    let (at, size, count) = (word(&header, 32), half(&header, 54), half(&header, 56));
    if size < 56 {
        return Ok(None);
    }
    let mut table = vec![0u8; (size * count).min(MOST)];
    let len = file.read_at(&mut table, at)?;
    for entry in table[..len].chunks_exact(size) {
        if u32_at(entry, 0) != PT_NOTE {
            continue;
        }
        let mut notes = vec![0u8; (word(entry, 32) as usize).min(MOST)];
        let len = file.read_at(&mut notes, word(entry, 8))?;
        if let Some(id) = build_id_in(&notes[..len]) {
            return Ok(Some(Content::BuildId(Bytes(id.to_vec()))));
        }
    }
    Ok(None)
}

/// Iterates over notes: lengths of name and description, type, then both, padded to four bytes.
fn build_id_in(mut notes: &[u8]) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    while notes.len() >= 12 {
        let (name, desc) = (u32_at(notes, 0) as usize, u32_at(notes, 4) as usize);
        let kind = u32_at(notes, 8);
        let begin = 12 + name.checked_next_multiple_of(4)?;
        let end = begin.checked_add(desc)?;
        let id = notes.get(begin..end)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..16) == Some(b"GNU\0") && name == 4 && !id.is_empty() {
            return Some(id);
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn half(bytes: &[u8], at: usize) -> usize {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("two bytes")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn note(name: &[u8], kind: u32, desc: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        note.extend((name.len() as u32).to_ne_bytes());
        note.extend((desc.len() as u32).to_ne_bytes());
        note.extend(kind.to_ne_bytes());
        for part in [name, desc] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    /// A header, one program header, and the notes it refers to.
    fn elf(notes: &[u8]) -> Vec<u8> {
        let mut elf = vec![0u8; 64 + 56];
        let order = if cfg!(target_endian = "little") { 1 } else { 2 };
        elf[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, order]);
        elf[32..40].copy_from_slice(&64u64.to_ne_bytes());
        elf[54..56].copy_from_slice(&56u16.to_ne_bytes());
        elf[56..58].copy_from_slice(&1u16.to_ne_bytes());
        elf[64..68].copy_from_slice(&4u32.to_ne_bytes());
        elf[72..80].copy_from_slice(&120u64.to_ne_bytes());
        elf[96..104].copy_from_slice(&(notes.len() as u64).to_ne_bytes());
        elf.extend(notes);
        elf
    }

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let notes = [note(b"Go\0", 3, b"other"), note(b"GNU\0", 1, b"abi"), note(b"GNU\0", 3, b"\x01\xab")];
        let id = build_id(&file(&elf(&notes.concat()))).unwrap();
        assert_eq!(id, Some(Content::BuildId(Bytes(vec![1, 0xab]))));
        assert_eq!(id.unwrap().to_string(), "build id 01ab");
        assert_eq!(build_id(&file(&elf(&notes[0]))).unwrap(), None);
        assert_eq!(build_id(&file(b"#!/bin/sh\n")).unwrap(), None);
    }

    #[test]
    fn a_digest_is_of_the_first_bytes() {
        let long = file(&vec![7u8; 700_000]);
        let short = file(&vec![7u8; 600_000]);
        assert_eq!(digest(&long, 600_000).unwrap(), digest(&short, 600_000).unwrap());
        assert_ne!(digest(&long, 700_000).unwrap(), digest(&short, 600_000).unwrap());
        assert_eq!(digest(&short, 700_000).unwrap(), None, "there is less");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(mut bytes in prop::collection::vec(any::<u8>(), 64..400), headers: bool) {
            if headers {
                let sound = elf(&[]);
                bytes[..58].copy_from_slice(&sound[..58]);
            }
            build_id(&file(&bytes)).unwrap();
        }
    }
}
