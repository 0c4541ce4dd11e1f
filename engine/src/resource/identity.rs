//! What a named file is: by this a restart finds out whether it is still the one that the job
//! knows.
//!
//! What the kernel says of it is read while the job is stopped. What is in it is read when the job
//! runs on, and counts only if the file has not changed by then: the pause does not get longer by
//! it.

use super::bytes::Bytes;
use super::fd::inode::Inode;
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
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime: i64,
    /// The rest; not in files of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
    /// What is in it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

/// What tells one file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Major and minor number.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// User and group.
    pub owner: (u32, u32),
    /// Time of the last change of anything, in nanoseconds since the epoch: nobody can set it.
    pub ctime: i64,
}

/// The contents of a file in a few bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// `NT_GNU_BUILD_ID` of an ELF file.
    BuildId(Bytes),
    /// xxh3-64 of all of it.
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
    /// All but the contents.
    pub fn of(meta: &Metadata) -> Self {
        let nanos = |s: i64, ns: i64| s * 1_000_000_000 + ns;
        Identity {
            size: meta.len(),
            mtime: nanos(meta.mtime(), meta.mtime_nsec()),
            node: Some(Node {
                device: (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev())),
                inode: meta.ino(),
                owner: (meta.uid(), meta.gid()),
                ctime: nanos(meta.ctime(), meta.ctime_nsec()),
            }),
            content: None,
        }
    }

    /// Whether nothing has been done to the file in between. The number of its device may be
    /// another one: it can be after each boot.
    pub fn is_untouched(&self, now: &Identity) -> bool {
        let node = |identity: &Identity| identity.node.map(|n| (n.inode, n.owner, n.ctime));
        let same_node = self.node.is_none() || node(self) == node(now);
        (self.size, self.mtime) == (now.size, now.mtime) && same_node
    }
}

impl Content {
    /// Reads the same of a file, of its first `size` bytes.
    ///
    /// # Errors
    /// What reading says.
    pub fn same_of(&self, file: &File, size: u64) -> io::Result<Option<Content>> {
        match self {
            Content::BuildId(_) => build_id(file),
            Content::Digest(_) => digest(file, size),
        }
    }
}

/// No file above this is read as a whole.
const LARGEST: u64 = 16 << 20;
/// Nor more than this for one checkpoint, the smallest files first.
const ALL: u64 = 128 << 20;

/// Finds out what is in the named files of a checkpoint. Of a file that has changed since it was
/// looked at, and of one that cannot be read, it stays unknown.
pub fn learn_contents(inodes: &mut [Inode]) {
    let mut named: Vec<&mut Inode> = inodes.iter_mut().filter(|inode| inode.identity.is_some()).collect();
    named.sort_by_key(|inode| inode.identity.as_ref().map(|identity| identity.size));
    let mut left = ALL;
    for inode in named {
        let path = inode.path.as_path().to_path_buf();
        let Some(identity) = &mut inode.identity else { continue };
        if identity.size == 0 {
            identity.content = Some(Content::Digest(Xxh3::new().digest()));
            continue;
        }
        crate::activity::say(|| format!("read {}", path.display()));
        let whole = identity.size <= LARGEST.min(left);
        if whole {
            left -= identity.size;
        }
        identity.content = content(&path, identity, whole).unwrap_or(None);
    }
}

fn content(path: &std::path::Path, known: &Identity, whole: bool) -> io::Result<Option<Content>> {
    let still = |file: &File| Ok::<_, io::Error>(Identity::of(&file.metadata()?).is_untouched(known));
    let handle = sys::file::open_directly(path, OFlags::PATH)?;
    if !still(&handle)? {
        return Ok(None);
    }
    let file = reopen_to_read(&handle)?;
    let content = if whole { digest(&file, known.size)? } else { build_id(&file)? };
    Ok(content.filter(|_| still(&file).unwrap_or(false)))
}

/// Opens what a handle is of for reading, leaving no trace where that is possible.
///
/// # Errors
/// What open(2) says.
pub fn reopen_to_read(handle: &File) -> io::Result<File> {
    let link = sys::file::link_to(handle);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |flags| rustix::fs::open(&link, flags, rustix::fs::Mode::empty());
    // O_NOATIME is for the owner and CAP_FOWNER.
    Ok(File::from(open(flags | OFlags::NOATIME).or_else(|_| open(flags))?))
}

/// xxh3-64 of the first `size` bytes; nothing when there are fewer.
fn digest(file: &File, size: u64) -> io::Result<Option<Content>> {
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

/// The build id of an ELF file of 64 bits and this machine's byte order (elf(5)); nothing of any
/// other file.
fn build_id(file: &File) -> io::Result<Option<Content>> {
    const PT_NOTE: u32 = 4;
    /// Neither program headers nor notes of a sound file take more.
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

/// Walks over notes: lengths of name and description, type, then both, padded to four bytes.
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

    /// A header, one program header, and the notes that it is of.
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
