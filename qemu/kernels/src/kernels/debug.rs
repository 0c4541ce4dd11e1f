//! The debugging kernel: its name, and how its trees are found in the cache. It is built by
//! [`crate::kmod::debug`].

use std::fs;
use std::path::{Path, PathBuf};

use super::{Series, fetch};
use crate::arch::Arch;
use crate::cache::{self, Cache};

/// Its name on command lines, and the suffix of its release.
pub const NAME: &str = "debug";

/// Its configuration options.
pub(crate) const OPTIONS: &str = include_str!("../../debug.config");

/// Version of the build procedure; to be incremented when that changes.
const FORMAT: &str = "v1";

/// The only architecture it is built for.
const ARCH: Arch = Arch::X86_64;

/// The suite of its sources and compiler, and the series of its sources.
pub(crate) const SUITE: &str = "trixie";
pub(crate) const SERIES: Series = Series::new(6, 12);

/// File in a build tree that names the suite in whose root it was built.
pub(crate) const SUITE_MARK: &str = ".cairn-suite";

/// The suite in whose root a tree was built; `None` if the tree is not a debugging kernel of the
/// cache.
pub fn suite_of(tree: &Path) -> Option<String> {
    let text = fs::read_to_string(tree.join(SUITE_MARK)).ok()?;
    Some(text.trim().to_owned())
}

/// The newest debugging kernel built with the current options, if there is one.
///
/// # Errors
/// When the cache cannot be read.
pub fn find(cache: &Cache) -> Result<Option<PathBuf>, cache::Error> {
    let dir = cache.dir(NAME)?;
    let io = |source| cache::Error::Io { action: "list", path: dir.clone(), source };
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(&dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(&suffix()) {
            let made = fs::metadata(&path).and_then(|about| about.modified()).map_err(io)?;
            found.push((made, path));
        }
    }
    Ok(found.into_iter().max().map(|(_, path)| path))
}

/// The suffix of trees built with the current options.
pub(crate) fn suffix() -> String {
    format!("-{}-{FORMAT}", &fetch::sha256_hex(OPTIONS.as_bytes())[..16])
}

/// The label used in cells.
pub fn label() -> String {
    format!("{SERIES}-{NAME}")
}

/// Whether the debugging kernel is available for this architecture.
pub fn is_for(arch: Arch) -> bool {
    arch == ARCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_with_todays_options_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        assert_eq!(find(&cache).unwrap(), None);
        let tree = |name: String| {
            let path = dir.path().join(NAME).join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        tree("6.12.9-1-0123456789abcdef-v1".to_owned());
        let ours = tree(format!("6.12.8-1{}", suffix()));
        let found = find(&cache).unwrap().unwrap();
        assert_eq!(found.file_name(), ours.file_name());
        assert_eq!(suite_of(&found), None);
        fs::write(ours.join(SUITE_MARK), SUITE).unwrap();
        assert_eq!(suite_of(&found).as_deref(), Some(SUITE));
    }
}
