//! The leak oracle: what an engine may leave in a cell's directory, and that nothing is mounted there.
//!
//! The workload's own directory is the workload's: it may leave there what it made itself. What saving and bringing
//! back may not do is add to it or take from it, which two listings show.
//!
//! Stray processes are the supervisor's business, which is the one to find and end them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the runner itself puts beside the workload's directory, by beginning of the name.
const CELL: &[&str] = &["cwd", "context.", "record.", "checkpoint.", "restart.", "info.", "fixpoint.diff"];

/// Names of files and mounts below a cell's directory that should not be there, sorted.
///
/// # Errors
/// When the directories or the list of mounts cannot be read.
pub fn files_and_mounts(dir: &Path) -> io::Result<Vec<String>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // `context.1` is the engine's; `context.1.tmp` or `context.17` is a leak.
        let known = CELL.iter().any(|start| name.starts_with(start))
            && name.strip_prefix("context.").is_none_or(|rest| matches!(rest, "1" | "2"));
        if !known {
            left.push(name);
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    left.extend(mounts_below(&mounts, dir).into_iter().map(|point| format!("mount on {point}")));
    left.sort();
    Ok(left)
}

/// Every path below `dir`, relative to it. Directories that vanish or cannot be entered meanwhile count as empty.
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

/// Mount points strictly below `dir`. The fifth field of a mountinfo line is the mount point, with octal escapes.
pub(crate) fn mounts_below<'a>(mountinfo: &'a str, dir: &Path) -> Vec<&'a str> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
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
        for name in ["context.1", "record.1.json", "cwd/ready", "cwd/stdout"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert!(files_and_mounts(dir.path()).unwrap().is_empty());
        for name in ["context.1.tmp", "core", "cwd/data"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(files_and_mounts(dir.path()).unwrap(), ["context.1.tmp", "core"]);
        let names: Vec<PathBuf> = listing(dir.path()).unwrap().into_iter().collect();
        assert!(names.contains(&PathBuf::from("cwd/data")), "{names:?}");
    }

    #[test]
    fn only_mounts_below_count() {
        let text =
            "36 35 98:0 / /cell/a/mnt rw - tmpfs tmpfs rw\n37 35 98:0 / /cell/ab rw - tmpfs tmpfs rw\n";
        assert_eq!(mounts_below(text, Path::new("/cell/a")), ["/cell/a/mnt"]);
    }
}
