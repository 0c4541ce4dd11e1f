//! Hierarchies of control groups: where they are mounted (/proc/PID/mountinfo), and the groups of a
//! task in each (/proc/PID/cgroup, cgroups(7)).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    /// The group that is mounted there.
    root: PathBuf,
    /// Controllers and `name=…`; empty for version 2.
    names: Vec<String>,
}

impl Mount {
    /// From a line of proc_pid_mountinfo(5).
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut words = file_system.split(' ');
        let (kind, options) = (words.next()?, words.nth(1)?);
        let names = match kind {
            "cgroup" => options.split(',').map(str::to_owned).collect(),
            "cgroup2" => Vec::new(),
            _ => return None,
        };
        Some(Mount { point: point.into(), root: root.into(), names })
    }

    fn is_of(&self, hierarchy: &str) -> bool {
        match hierarchy {
            "" => self.names.is_empty(),
            names => names.split(',').all(|name| self.names.iter().any(|there| there == name)),
        }
    }
}

/// The mounted hierarchies.
#[derive(Debug)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// From /proc/PID/mountinfo.
    pub fn parse(text: &str) -> Self {
        Mounts(text.lines().filter_map(Mount::parse).collect())
    }

    /// The directory of a group, which need not exist; `None` if it is not below any mount.
    pub fn directory(&self, hierarchy: &str, path: &Path) -> Option<PathBuf> {
        let mounts = self.0.iter().filter(|mount| mount.is_of(hierarchy));
        mounts.filter_map(|mount| Some(mount.point.join(path.strip_prefix(&mount.root).ok()?))).next()
    }
}

/// The lines of /proc/PID/cgroup: hierarchy and path.
pub fn parse(text: &[u8]) -> impl Iterator<Item = (&str, &Path)> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        let hierarchy = std::str::from_utf8(fields.next()?).ok()?;
        Some((hierarchy, Path::new(OsStr::from_bytes(fields.next()?))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_told_by_their_controllers() {
        let lines = [
            "30 23 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate",
            "31 23 0:27 /job /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            "32 23 0:28 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd",
            "33 23 0:29 / /proc rw - proc proc rw",
        ];
        let mounts = Mounts::parse(&lines.join("\n"));
        let directory = |hierarchy, path: &str| mounts.directory(hierarchy, Path::new(path));
        assert_eq!(directory("", "/a/b"), Some("/sys/fs/cgroup/unified/a/b".into()));
        assert_eq!(directory("name=systemd", "/a"), Some("/sys/fs/cgroup/systemd/a".into()));
        assert_eq!(directory("cpu,cpuacct", "/job/a"), Some("/sys/fs/cgroup/cpu,cpuacct/a".into()));
        assert_eq!(directory("cpu,cpuacct", "/other"), None);
        assert_eq!(directory("pids", "/a"), None);
    }

    #[test]
    fn lines_of_a_process() {
        let text = b"12:cpu,cpuacct:/job\n1:name=systemd:/a:b\n0::/\n";
        let groups: Vec<_> =
            parse(text).map(|(hierarchy, path)| (hierarchy, path.to_str().unwrap())).collect();
        assert_eq!(groups, [("cpu,cpuacct", "/job"), ("name=systemd", "/a:b"), ("", "/")]);
    }
}
