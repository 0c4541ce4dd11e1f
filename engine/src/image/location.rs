//! Where a context file is written to or read from.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::stream::Stream;

/// Where a context file is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A file of this name. A new one appears when it is complete.
    File(PathBuf),
    /// A stream. If a checkpoint fails, its reader has the beginning of a file. At a restart it is
    /// read to its end, into an unnamed file in the directory for temporary files; a regular file
    /// is read in place.
    Stream(Arc<Stream>),
}

impl Location {
    /// Its path, or name in messages.
    pub fn path(&self) -> &Path {
        match self {
            Location::File(path) => path,
            Location::Stream(stream) => stream.path(),
        }
    }

    /// Device and inode number of the file or stream; `None` if there is no such file.
    pub fn node(&self) -> Option<(u64, u64)> {
        let meta = match self {
            Location::File(path) => std::fs::symlink_metadata(path).ok()?,
            Location::Stream(stream) => stream.duplicate().ok()?.metadata().ok()?,
        };
        Some((meta.dev(), meta.ino()))
    }
}

/// Paths, of whatever type, are files.
impl<P: AsRef<Path>> From<P> for Location {
    fn from(path: P) -> Self {
        Location::File(path.as_ref().to_path_buf())
    }
}
