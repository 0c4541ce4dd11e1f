//! Control groups, cgroups(7): the groups that the threads of the job are in, in each hierarchy,
//! and the limits of these groups. A restart leaves the job in the groups of the engine, whose
//! limits a batch system has chosen for it, unless it is asked to put the job back.
//!
//! A task enters its group as soon as it is created, so that its memory is charged there. Neither
//! the number of tasks (pids.max) nor a freezer keeps it out (kernel/cgroup/pids.c,
//! `pids_can_attach`): both are looked at before anything is made.

use super::Records;
use super::bytes::PathBytes;
use crate::error::{Context, Error, Result};
use crate::proc::cgroup::{Mounts, parse};
use crate::tree::freezer;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A group that a thread of the job is in, or one above it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The controllers of its hierarchy, or `name=…`, as in /proc/PID/cgroup; empty for version 2.
    pub hierarchy: String,
    /// From the root of the hierarchy.
    pub path: PathBytes,
    /// Contents of its files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// What becomes of the job's groups at a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Policy {
    /// The job stays in those of the engine.
    #[default]
    Leave,
    /// It is put into its own.
    Join,
    /// Likewise; those that are gone are created with their limits.
    Create,
}

/// A file of a group that limits it.
struct Setting {
    /// The controller that it belongs to; none for those of every group.
    controller: &'static str,
    name: &'static str,
}

const fn setting(controller: &'static str, name: &'static str) -> Setting {
    Setting { controller, name }
}

const TYPE: &str = "cgroup.type";
const CONTROLLERS: &str = "cgroup.subtree_control";

/// In the order in which a new group wants them: of a threaded group the type comes first, and
/// processors and nodes before the first task.
const SETTINGS: [Setting; 22] = [
    setting("", TYPE),
    setting("cpuset", "cpuset.cpus"),
    setting("cpuset", "cpuset.mems"),
    setting("cpu", "cpu.weight"),
    setting("cpu", "cpu.max"),
    setting("cpu", "cpu.shares"),
    setting("cpu", "cpu.cfs_period_us"),
    setting("cpu", "cpu.cfs_quota_us"),
    setting("memory", "memory.min"),
    setting("memory", "memory.low"),
    setting("memory", "memory.high"),
    setting("memory", "memory.max"),
    setting("memory", "memory.swap.max"),
    setting("memory", "memory.oom.group"),
    setting("memory", "memory.limit_in_bytes"),
    // Not below the limit of memory alone.
    setting("memory", "memory.memsw.limit_in_bytes"),
    setting("memory", "memory.soft_limit_in_bytes"),
    setting("io", "io.weight"),
    setting("io", "io.max"),
    setting("blkio", "blkio.weight"),
    setting("pids", "pids.max"),
    // Of groups between, for those below; then no process may enter them.
    setting("", CONTROLLERS),
];

impl Group {
    /// Checks its path and the names of its files.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> std::result::Result<(), String> {
        let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        let path = self.path.as_path();
        let known = |name: &String| SETTINGS.iter().any(|setting| setting.name == name);
        match path.is_absolute() && path.components().all(plain) && self.settings.keys().all(known) {
            true => Ok(()),
            false => Err("an invalid path or setting".into()),
        }
    }

    fn is_version_2(&self) -> bool {
        self.hierarchy.is_empty()
    }

    /// The file that a task is put in by.
    fn entrance(&self, is_leader: bool) -> &'static str {
        match (is_leader, self.is_version_2()) {
            (true, _) => "cgroup.procs",
            (false, true) => "cgroup.threads",
            (false, false) => "tasks",
        }
    }
}

fn mounts() -> Result<Mounts> {
    let text = fs::read_to_string("/proc/self/mountinfo").context(|| "read /proc/self/mountinfo")?;
    Ok(Mounts::parse(&text))
}

fn of_thread(pid: i32, tid: i32) -> Result<Vec<u8>> {
    let path = format!("/proc/{pid}/task/{tid}/cgroup");
    match fs::read(&path) {
        // Without CONFIG_CGROUPS.
        Err(_) if !Path::new("/proc/self/cgroup").exists() => Ok(Vec::new()),
        other => other.context(|| format!("read {path}")),
    }
}

/// The groups of the job, as they are found.
pub struct Seen {
    mounts: Mounts,
    groups: Vec<Group>,
    known: HashMap<(String, PathBuf), usize>,
    /// By the text of /proc/PID/cgroup, which many tasks have in common.
    of_text: HashMap<Vec<u8>, Vec<usize>>,
}

impl Seen {
    /// None yet.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn new() -> Result<Self> {
        Ok(Seen { mounts: mounts()?, groups: Vec::new(), known: HashMap::new(), of_text: HashMap::new() })
    }

    /// The groups of a process's threads, the leader first, by index.
    ///
    /// # Errors
    /// *vanished*
    pub fn look(&mut self, pid: i32, tids: impl Iterator<Item = i32>) -> Result<Vec<Vec<usize>>> {
        let mut all: Vec<Vec<usize>> = Vec::new();
        for tid in tids {
            if let Some(leader) = all.first().filter(|leader| !self.may_be_parted(leader)) {
                all.push(leader.clone());
                continue;
            }
            let text = of_thread(pid, tid)?;
            if let Some(known) = self.of_text.get(&text) {
                all.push(known.clone());
                continue;
            }
            let found: Vec<usize> =
                parse(&text).map(|(hierarchy, path)| self.index(hierarchy, path)).collect();
            all.push(found.clone());
            self.of_text.insert(text, found);
        }
        Ok(all)
    }

    /// Whether the threads of a process in these groups may be in different ones: in version 1, and
    /// in threaded groups.
    fn may_be_parted(&self, groups: &[usize]) -> bool {
        groups.iter().map(|group| &self.groups[*group]).any(|group| {
            !group.is_version_2() || group.settings.get(TYPE).is_some_and(|kind| kind.contains("threaded"))
        })
    }

    fn index(&mut self, hierarchy: &str, path: &Path) -> usize {
        if let Some(index) = self.known.get(&(hierarchy.to_owned(), path.to_owned())) {
            return *index;
        }
        if let Some(above) = path.parent().filter(|above| *above != Path::new("/")) {
            self.index(hierarchy, above);
        }
        let directory = self.mounts.directory(hierarchy, path).filter(|_| path != Path::new("/"));
        let read = |setting: &Setting| {
            let text = fs::read_to_string(directory.as_ref()?.join(setting.name)).ok()?;
            let text = text.trim_end();
            (!text.is_empty()).then(|| (setting.name.to_owned(), text.to_owned()))
        };
        let settings = SETTINGS.iter().filter_map(read).collect();
        self.groups.push(Group { hierarchy: hierarchy.to_owned(), path: path.into(), settings });
        self.known.insert((hierarchy.to_owned(), path.to_owned()), self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// All of them.
    pub fn finish(self) -> Vec<Group> {
        self.groups
    }
}

/// Where the tasks of a job go at a restart.
#[derive(Debug, Default)]
pub struct Places {
    /// All groups, and the directory of each, empty for one that is in no mounted hierarchy.
    groups: Vec<(Group, PathBuf)>,
    /// Indices of groups by TID, for each thread.
    of: HashMap<i32, Vec<usize>>,
    /// Indices of the groups to be made, those above first.
    missing: Vec<usize>,
    /// Directories that were made.
    made: Vec<PathBuf>,
}

impl Places {
    /// Decides where each task goes, and checks that it can go there; makes nothing.
    ///
    /// # Errors
    /// *conflict*: a group that is gone, frozen, full or closed to us.
    pub fn find(records: &Records, policy: Policy) -> Result<Self> {
        if policy == Policy::Leave {
            return Ok(Places::default());
        }
        let mounts = mounts()?;
        let mut places = Places::default();
        for group in &records.cgroups {
            let directory = mounts.directory(&group.hierarchy, group.path.as_path());
            places.groups.push((group.clone(), directory.unwrap_or_default()));
        }
        for (process, alive) in records.alive() {
            // The leader may have exited.
            places.of.insert(process.pid, alive.cgroups.clone());
            for thread in &alive.threads {
                places.of.insert(thread.tid, thread.cgroups.as_ref().unwrap_or(&alive.cgroups).clone());
            }
        }
        let wanted: BTreeSet<usize> = places.of.values().flatten().copied().collect();
        let all: BTreeSet<usize> = wanted.iter().flat_map(|group| places.above(*group)).collect();
        for group in all {
            places.check(group, wanted.contains(&group), policy)?;
        }
        Ok(places)
    }

    /// A group and those above it, by index.
    fn above(&self, group: usize) -> impl Iterator<Item = usize> {
        let (group, _) = &self.groups[group];
        let is_above = |(other, _): &(Group, PathBuf)| {
            other.hierarchy == group.hierarchy && group.path.as_path().starts_with(other.path.as_path())
        };
        self.groups.iter().enumerate().filter(move |(_, other)| is_above(other)).map(|(index, _)| index)
    }

    /// Checks one group; `entered`: a task goes there.
    fn check(&mut self, index: usize, entered: bool, policy: Policy) -> Result<()> {
        let (group, directory) = &self.groups[index];
        let name = match group.hierarchy.as_str() {
            "" => format!("control group {}", group.path),
            hierarchy => format!("control group {} ({hierarchy})", group.path),
        };
        let conflict =
            |what: String| Err(Error::Conflict(format!("{name}: {what}, or restart without --cgroups")));
        if directory.as_os_str().is_empty() {
            return conflict("is in no mounted hierarchy; mount it".into());
        }
        if !directory.exists() {
            if policy == Policy::Join {
                return conflict("does not exist; create it, or pass --cgroups create".into());
            }
            if let Some(controller) = self.lacks(index) {
                return conflict(format!(
                    "has limits of the controller {controller}, which is not available above it; enable it there ({CONTROLLERS})"
                ));
            }
            self.missing.push(index);
            return Ok(());
        }
        if freezer::is_frozen(directory) {
            return conflict("is frozen; thaw it".into());
        }
        if let Some((room, tasks)) = self.room(index).filter(|(room, tasks)| room < tasks) {
            return conflict(format!(
                "has room for {room} more tasks, and {tasks} would enter it (pids.max); raise the limit"
            ));
        }
        if !entered {
            return Ok(());
        }
        let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap_or_default();
        let kind = read(TYPE);
        let leads = kind.trim() == "domain" && !read(CONTROLLERS).trim().is_empty();
        if leads || kind.trim() == "domain invalid" {
            return conflict(
                "takes no processes now (cgroups(7), no internal processes); use groups below it".into(),
            );
        }
        let entrance = directory.join(group.entrance(true));
        let access = (rustix::fs::Access::WRITE_OK, rustix::fs::AtFlags::EACCESS);
        match rustix::fs::accessat(rustix::fs::CWD, &entrance, access.0, access.1) {
            Ok(()) => Ok(()),
            Err(err) => conflict(format!("{}: {err}; ask its owner", entrance.display())),
        }
    }

    /// A controller of version 2 that a missing group has limits of, and the group above it, which
    /// exists, does not hand down.
    fn lacks(&self, index: usize) -> Option<&'static str> {
        let (group, directory) = &self.groups[index];
        let above = directory.parent().filter(|above| group.is_version_2() && above.exists())?;
        let handed = fs::read_to_string(above.join(CONTROLLERS)).unwrap_or_default();
        let handed: HashSet<&str> = handed.split_ascii_whitespace().collect();
        let needed = SETTINGS.iter().filter(|setting| group.settings.contains_key(setting.name));
        needed.map(|setting| setting.controller).find(|name| !name.is_empty() && !handed.contains(name))
    }

    /// How many tasks a group has room for, and how many would be in it or below.
    fn room(&self, index: usize) -> Option<(u64, u64)> {
        let (_, directory) = &self.groups[index];
        let read = |file: &str| fs::read_to_string(directory.join(file)).ok()?.trim().parse::<u64>().ok();
        let room = read("pids.max")?.saturating_sub(read("pids.current")?);
        let enters =
            |groups: &Vec<usize>| groups.iter().any(|group| self.above(*group).any(|above| above == index));
        Some((room, self.of.values().filter(|groups| enters(groups)).count() as u64))
    }

    /// Creates the groups that are missing: all of them, or none.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn make(&mut self) -> Result<()> {
        let made = self.make_missing();
        if made.is_err() {
            self.undo();
        }
        made
    }

    fn make_missing(&mut self) -> Result<()> {
        for index in std::mem::take(&mut self.missing) {
            let (group, directory) = &self.groups[index];
            match fs::create_dir(directory) {
                Ok(()) => self.made.push(directory.clone()),
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(err) => {
                    return Err(err).context(|| format!("create control group {}", directory.display()));
                }
            }
            for Setting { name, .. } in &SETTINGS {
                let Some(value) = group.settings.get(*name) else { continue };
                let file = directory.join(name);
                let now = fs::read_to_string(&file).unwrap_or_default();
                if now.trim_end() == value || *name == TYPE && value != "threaded" {
                    continue;
                }
                let value = match *name {
                    CONTROLLERS => value.split(' ').map(|name| format!("+{name} ")).collect(),
                    _ => value.clone(),
                };
                // Of several lines, one for each device, the kernel takes one at a time.
                for line in value.lines() {
                    fs::write(&file, line).context(|| format!("write {line:?} to {}", file.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Puts a task that was just created into its groups. A process takes all its threads along,
    /// of which it has one.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn enter(&self, pid: i32, tid: i32) -> Result<()> {
        let Some(wanted) = self.of.get(&tid) else { return Ok(()) };
        let text = of_thread(pid, tid)?;
        let there: HashSet<(&str, &Path)> = parse(&text).collect();
        for (group, directory) in wanted.iter().map(|group| &self.groups[*group]) {
            if there.contains(&(group.hierarchy.as_str(), group.path.as_path())) {
                continue;
            }
            let file = directory.join(group.entrance(pid == tid));
            fs::write(&file, tid.to_string()).context(|| format!("write {tid} to {}", file.display()))?;
        }
        Ok(())
    }

    /// Removes what was made, once nobody is in it.
    pub fn undo(&mut self) {
        for directory in std::mem::take(&mut self.made).iter().rev() {
            // Somebody else may use it by now.
            let _ = fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/a/b", "memory.max", true)]
    #[case("/", "cgroup.subtree_control", true)]
    #[case("/a/../b", "memory.max", false)]
    #[case("a", "memory.max", false)]
    #[case("/a", "cgroup.kill", false)]
    #[case("/a", "../b/memory.max", false)]
    fn groups_of_a_context_file(#[case] path: &str, #[case] name: &str, #[case] valid: bool) {
        let settings = BTreeMap::from([(name.to_owned(), "1".to_owned())]);
        let group = Group { hierarchy: String::new(), path: Path::new(path).into(), settings };
        assert_eq!(group.validate().is_ok(), valid);
    }
}
