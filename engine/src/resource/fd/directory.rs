//! Directories.

use super::inode::Observed;
use super::unlinked::Unnamed;
use super::{Kind, Verbs, description, regular};
use crate::error::Result;

/// A directory; all its state is in the inode.
pub struct Directory;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let is_ours = seen.has_path() && seen.meta.is_dir();
    is_ours.then(|| regular::refuse_by_file_system(seen).map_or(Ok(Kind::Directory), Err))
}

impl Verbs for Directory {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn is_shared_state(&self, flags: i32) -> bool {
        !description::only_appends(flags)
    }

    fn file_type(&self) -> u32 {
        libc::S_IFDIR
    }

    fn unlinked(&self) -> Result<Unnamed, &'static str> {
        Ok(Unnamed::Directory)
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[];
