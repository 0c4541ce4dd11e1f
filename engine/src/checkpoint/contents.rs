//! The contents of named files, read after the job has resumed.

use crate::resource::Records;
use crate::resource::fd::inode::Inode;
use crate::resource::identity::{Content, Identity, build_id, digest, reopen_to_read};
use crate::sys;
use rustix::fs::OFlags;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// Larger files are not read as a whole.
const LARGEST: u64 = 16 << 20;
/// Limit for all files of one checkpoint, the smallest first.
const ALL: u64 = 128 << 20;

/// Reads the contents of the named files of a checkpoint. They stay unknown for a file that has
/// changed since it was examined or cannot be read, and for one whose job would notice: to open it
/// breaks a write lease, and is an event for who watches it.
pub fn learn(records: &mut Records) {
    let leased: HashSet<usize> =
        records.files.iter().filter(|file| file.has_write_lease()).map(|file| file.inode).collect();
    let noticing = records.inodes.iter().flat_map(|inode| inode.kind.verbs().notices_reading());
    let watched: HashSet<PathBuf> =
        noticing.map(|file| records.inodes[records.files[file].inode].path.as_path().to_path_buf()).collect();
    let is_watched =
        |path: &Path| watched.contains(path) || path.parent().is_some_and(|up| watched.contains(up));
    let readable = |(index, inode): &(usize, &mut Inode)| {
        inode.identity.is_some() && !leased.contains(index) && !is_watched(inode.path.as_path())
    };
    let mut named: Vec<&mut Inode> =
        records.inodes.iter_mut().enumerate().filter(readable).map(|(_, inode)| inode).collect();
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

fn content(path: &Path, known: &Identity, whole: bool) -> io::Result<Option<Content>> {
    let still = |file: &File| Ok::<_, io::Error>(Identity::of(&file.metadata()?).is_untouched(known));
    let handle = sys::file::open_directly(path, OFlags::PATH)?;
    if !still(&handle)? {
        return Ok(None);
    }
    let file = reopen_to_read(&handle)?;
    let content = if whole { digest(&file, known.size)? } else { build_id(&file)? };
    Ok(content.filter(|_| still(&file).unwrap_or(false)))
}
