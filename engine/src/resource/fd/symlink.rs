//! Symbolic links, opened themselves (`O_PATH | O_NOFOLLOW`).

use super::inode::Observed;
use super::{Kind, Verbs};
use crate::error::Result;

/// A symbolic link; it has no state.
pub struct Symlink;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    (seen.has_path() && seen.meta.is_symlink()).then_some(Ok(Kind::Symlink))
}

impl Verbs for Symlink {
    fn name(&self) -> &'static str {
        "symbolic link"
    }

    fn file_type(&self) -> u32 {
        libc::S_IFLNK
    }

    fn unlinked(&self) -> Result<super::unlinked::Unnamed, &'static str> {
        Err("an unlinked symbolic link")
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[];
