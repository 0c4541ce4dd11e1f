//! Regular files.

use super::inode::Observed;
use super::unlinked::Unnamed;
use super::{Kind, Verbs, description, mqueue};
use crate::error::{Error, Result};

/// A regular file; all its state is in the inode.
pub struct Regular;

/// memfd_secret(2), mm/secretmem.c.
const SECRETMEM_MAGIC: i64 = 0x5345_434d;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let is_ours = seen.has_path() && seen.meta.is_file();
    is_ours.then(|| refuse_by_file_system(seen).map_or(Ok(Kind::Regular), Err))
}

/// Refuses a file or directory on a file system where reopening does not restore it.
pub(super) fn refuse_by_file_system(seen: &Observed<'_>) -> Option<Error> {
    match seen.file_system {
        mqueue::MAGIC => Some(seen.refuse_kind("a POSIX message queue")),
        SECRETMEM_MAGIC => Some(seen.refuse_kind("secret memory (memfd_secret)")),
        _ => None,
    }
}

impl Verbs for Regular {
    fn name(&self) -> &'static str {
        "file"
    }

    fn is_shared_state(&self, flags: i32) -> bool {
        !description::only_appends(flags)
    }

    fn file_type(&self) -> u32 {
        libc::S_IFREG
    }

    fn unlinked(&self) -> Result<Unnamed, &'static str> {
        Ok(Unnamed::Regular)
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "unlinked-content-lost",
        what: "unlinked files come back as holes",
        commit: |r| r.inodes.iter_mut().filter_map(|i| i.unlinked.as_mut()).for_each(|u| u.content.clear()),
    },
    crate::resource::fault::Fault {
        name: "offset-forgotten",
        what: "files are read from their start",
        commit: |r| r.files.iter_mut().for_each(|f| f.offset = 0),
    },
];
