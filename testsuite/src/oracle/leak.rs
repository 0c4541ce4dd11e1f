//! The leak oracle: an engine may leave only the expected files in a cell's directory, and no
//! mounts.
//!
//! The workload owns its own directory and may leave files there. Checkpoint and restart must
//! neither add to it nor remove from it, which is checked by comparing two listings.
//!
//! State outside of all cells is compared once for a whole run, because several cells run
//! concurrently.
//!
//! Stray processes are found and killed by the supervisor.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Whether a file of this name beside the workload's directory is written by the runner itself or
/// by the engine on its request.
fn is_expected(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    matches!(
        parts.as_slice(),
        ["cwd"]
            | ["fixpoint", "diff"]
            | ["context", "1" | "2"]
            | ["record", "1" | "2", "json"]
            | ["checkpoint" | "info" | "restart", "0" | "1" | "2" | "3", "stdout" | "stderr"]
    )
}

/// Names of unexpected files and mounts below a cell's directory, sorted.
///
/// # Errors
/// When the directories or the list of mounts cannot be read.
pub fn files_and_mounts(dir: &Path) -> io::Result<Vec<String>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !is_expected(&name) {
            left.push(name);
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    left.extend(mounts_below(&mounts, dir).into_iter().map(|point| format!("mount on {point}")));
    left.sort();
    Ok(left)
}

/// State outside of all cells.
#[derive(Debug)]
pub struct Outside(BTreeSet<Thing>);

/// One name or mount.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    File(PathBuf),
    /// A line of mountinfo.
    Mount(String),
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thing::File(path) => write!(f, "{}", path.display()),
            Thing::Mount(line) => write!(f, "mount on {}", mount_point(line).unwrap_or("?")),
        }
    }
}

impl Outside {
    /// Reads the table of mounts and the names in these directories, which need not exist.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn look(dirs: &[PathBuf]) -> io::Result<Outside> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mut seen: BTreeSet<Thing> = mounts.lines().map(|line| Thing::Mount(line.to_owned())).collect();
        for dir in dirs {
            match fs::read_dir(dir) {
                Ok(entries) => {
                    for entry in entries {
                        seen.insert(Thing::File(entry?.path()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Outside(seen))
    }

    /// The differences to a later state, as text.
    pub fn changes(&self, later: &Outside) -> Vec<String> {
        changes(&self.0, &later.0, Thing::to_string)
    }
}

/// The elements added and removed between two sets, as text.
pub fn changes<T: Ord>(before: &BTreeSet<T>, now: &BTreeSet<T>, show: impl Fn(&T) -> String) -> Vec<String> {
    let word = |thing: &T| if now.contains(thing) { "new" } else { "gone" };
    now.symmetric_difference(before).map(|thing| format!("{}: {}", word(thing), show(thing))).collect()
}

/// Every path below `dir`, relative to it. Subdirectories that vanish or cannot be read count as
/// empty.
///
/// # Errors
/// When `dir` itself cannot be read.
pub fn listing(dir: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut queue = vec![dir.to_owned()];
    while let Some(folder) = queue.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(_) if folder != dir => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                queue.push(entry.path());
            }
            if let Ok(relative) = entry.path().strip_prefix(dir) {
                found.insert(relative.to_owned());
            }
        }
    }
    Ok(found)
}

/// The fifth field of a line of mountinfo is the mount point, with octal escapes.
fn mount_point(line: &str) -> Option<&str> {
    line.split(' ').nth(4)
}

/// Mount points strictly below `dir`.
pub(crate) fn mounts_below<'a>(mountinfo: &'a str, dir: &Path) -> Vec<&'a str> {
    mountinfo
        .lines()
        .filter_map(mount_point)
        .filter(|point| Path::new(point).starts_with(dir) && Path::new(point) != dir)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("cwd")).unwrap();
        for name in ["context.1", "record.1.json", "restart.2.stdout", "cwd/ready", "cwd/stdout"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert!(files_and_mounts(dir.path()).unwrap().is_empty());
        for name in ["context.1.tmp", "context.17", "checkpoint.1.log", "core", "cwd/data"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(
            files_and_mounts(dir.path()).unwrap(),
            ["checkpoint.1.log", "context.1.tmp", "context.17", "core"]
        );
        let names: Vec<PathBuf> = listing(dir.path()).unwrap().into_iter().collect();
        assert!(names.contains(&PathBuf::from("cwd/data")), "{names:?}");
    }

    #[test]
    fn what_came_and_went_outside_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().to_owned(), dir.path().join("never")];
        fs::write(dir.path().join("old"), "").unwrap();
        let before = Outside::look(&dirs).unwrap();
        assert_eq!(before.changes(&Outside::look(&dirs).unwrap()), [""; 0]);
        fs::rename(dir.path().join("old"), dir.path().join("socket")).unwrap();
        let mut now = Outside::look(&dirs).unwrap();
        now.0.insert(Thing::Mount("43 28 0:40 / /mnt rw - tmpfs none rw".to_owned()));
        let path = dir.path().display();
        let wanted =
            [format!("gone: {path}/old"), format!("new: {path}/socket"), "new: mount on /mnt".to_owned()];
        assert_eq!(before.changes(&now), wanted);
    }

    #[test]
    fn only_mounts_below_count() {
        let text =
            "36 35 98:0 / /cell/a/mnt rw - tmpfs tmpfs rw\n37 35 98:0 / /cell/ab rw - tmpfs tmpfs rw\n";
        assert_eq!(mounts_below(text, Path::new("/cell/a")), ["/cell/a/mnt"]);
    }
}
