//! The leak oracle: what a cell may leave in its own directory, and that it mounted nothing there.
//!
//! Stray processes are the supervisor's business, which is the one to find and end them.

use std::fs;
use std::io;
use std::path::Path;

/// What the runner itself puts into a workload's working directory.
const WORKDIR: &[&str] = &["ready", "go", "stdout", "stderr"];
/// What the runner itself puts beside it, by beginning of the name.
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
    for entry in fs::read_dir(dir.join("cwd"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !WORKDIR.contains(&name.as_str()) {
            left.push(format!("cwd/{name}"));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    left.extend(mounts_below(&mounts, dir).into_iter().map(|point| format!("mount on {point}")));
    left.sort();
    Ok(left)
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
        assert_eq!(files_and_mounts(dir.path()).unwrap(), ["context.1.tmp", "core", "cwd/data"]);
    }

    #[test]
    fn only_mounts_below_count() {
        let text =
            "36 35 98:0 / /cell/a/mnt rw - tmpfs tmpfs rw\n37 35 98:0 / /cell/ab rw - tmpfs tmpfs rw\n";
        assert_eq!(mounts_below(text, Path::new("/cell/a")), ["/cell/a/mnt"]);
    }
}
