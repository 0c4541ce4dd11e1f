//! The other names of a file whose opened name was removed: link(2) and unlink(2) move a file that
//! way from one directory to the one beside it, as mail and version control do.

use crate::resource::bytes::PathBytes;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Directory entries that are looked at before the search is given up.
const MOST: usize = 200_000;

/// Finds another name of the file that was opened at `gone`: in the directory of that name, else in
/// the directories beside it and above it. `None` if there is none, or none that this user can see.
pub(super) fn find(gone: &[u8], meta: &Metadata) -> Option<PathBytes> {
    let directory = Path::new(std::ffi::OsStr::from_bytes(gone)).parent()?;
    let mut left = MOST;
    let here = search(directory, meta, &mut left).found;
    let found = here.or_else(|| {
        let above = directory.parent()?;
        let Looked { found, directories } = search(above, meta, &mut left);
        found.or_else(|| {
            let beside = directories.iter().filter(|beside| *beside != directory);
            beside.into_iter().find_map(|beside| search(beside, meta, &mut left).found)
        })
    });
    found.map(|path| PathBytes::from(path.as_path()))
}

#[derive(Default)]
struct Looked {
    found: Option<PathBuf>,
    directories: Vec<PathBuf>,
}

/// Looks at the entries of one directory, in order of their names if there are several.
fn search(directory: &Path, meta: &Metadata, left: &mut usize) -> Looked {
    let mut looked = Looked::default();
    // A directory that cannot be read has no name to offer.
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if *left == 0 {
            break;
        }
        *left -= 1;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir {
            looked.directories.push(entry.path());
        } else if entry.ino() == meta.ino() && is_same(&entry.path(), meta) {
            let first = looked.found.take().map_or_else(|| entry.path(), |found| found.min(entry.path()));
            looked.found = Some(first);
        }
    }
    looked.directories.sort();
    looked
}

fn is_same(path: &Path, meta: &Metadata) -> bool {
    path.symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) == (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The name that is found for a file that was opened at `gone` and is at `names`.
    fn found(gone: &str, names: &[&str]) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in names.iter().chain([&gone]) {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        }
        fs::write(at(gone), "contents").unwrap();
        names.iter().for_each(|name| fs::hard_link(at(gone), at(name)).unwrap());
        fs::remove_file(at(gone)).unwrap();
        let meta = fs::metadata(at(names[0])).unwrap();
        let path = find(at(gone).as_os_str().as_bytes(), &meta)?;
        Some(path.as_path().strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_name_in_the_same_directory_is_found_first() {
        assert_eq!(found("a/b/old", &["a/c/new", "a/b/y", "a/b/x"]).as_deref(), Some("a/b/x"));
    }

    #[test]
    fn a_name_above_or_beside_is_found() {
        assert_eq!(found("mail/tmp/1", &["mail/new/1"]).as_deref(), Some("mail/new/1"));
        assert_eq!(found("a/b/old", &["a/new"]).as_deref(), Some("a/new"));
    }

    #[test]
    fn a_name_elsewhere_is_not_looked_for() {
        assert_eq!(found("a/b/c/old", &["a/x/y/new"]), None);
    }
}
