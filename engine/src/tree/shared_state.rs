//! Sharing across the tree's border, or within it, that a restart cannot recreate, and what
//! processes of the tree have in common that it can.

use super::freeze::Task;
use crate::arch;
use crate::error::{Context, Problem, Problems, Result, Subject};
use crate::proc::status;
use crate::resource::bytes::PathBytes;
use crate::resource::thread::landlock::Peers;
use crate::resource::thread::seccomp;
use crate::resource::{process, refused};
use crate::sys::kcmp::{Kind, Sorted, kcmp};
use crate::sys::task::Seen;
use rustix::fs::{Mode, OFlags};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Links in /proc/PID/ns, and which of ours each must equal. The last two apply to future children.
const NAMESPACES: &[(&str, &str)] = &[
    ("cgroup", "cgroup"),
    ("ipc", "ipc"),
    ("mnt", "mnt"),
    ("net", "net"),
    ("pid", "pid"),
    ("time", "time"),
    ("user", "user"),
    ("uts", "uts"),
    ("pid_for_children", "pid"),
    ("time_for_children", "time"),
];

/// Our own namespaces, by the name of the link that must match; only those this kernel has.
fn own_namespaces() -> Vec<(&'static str, PathBuf)> {
    let link = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
    let there = NAMESPACES.iter().filter(|(name, _)| link(name).is_some());
    there.filter_map(|(name, own)| Some((*name, link(own)?))).collect()
}

/// The namespace directory of a thread, opened once for all its links; `None` if it cannot be
/// opened.
struct Namespaces(Option<OwnedFd>);

impl Namespaces {
    fn of(pid: i32, tid: i32) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Namespaces(rustix::fs::open(format!("/proc/{pid}/task/{tid}/ns"), flags, Mode::empty()).ok())
    }

    fn link(&self, name: &str) -> Option<PathBuf> {
        let link = rustix::fs::readlinkat(self.0.as_ref()?, name, Vec::new()).ok()?;
        Some(PathBuf::from(OsStr::from_bytes(link.as_bytes())))
    }
}

/// The PID of a process in its own PID namespace.
fn number_inside(pid: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let all = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    all.split_ascii_whitespace().last()?.parse().ok()
}

/// Reasons to refuse these processes, except for their descriptors and mappings. Adds to `peers`
/// what each thread is to look at.
///
/// # Errors
/// *vanished*, *denied*, or kcmp(2) is not available.
pub fn problems(tasks: &[Task], peers: &mut Peers) -> Result<Problems> {
    let mut problems = Problems::default();
    let alive: Vec<&Task> = tasks.iter().filter(|t| !t.threads.is_empty()).collect();
    let own_namespaces = own_namespaces();
    let own_label = process::label(std::process::id() as i32)?;
    for task in &alive {
        let (pid, by) = (task.pid, task.seen().by);
        for thread in &task.threads {
            let tid = thread.tid();
            let mut refuse = |what: &str| {
                problems.push(Problem::of_thread(pid, tid, what));
            };
            if !thread.regs().is_native() {
                refuse("runs 32-bit code; only 64-bit programs can be saved");
            }
            if thread.regs().in_transaction() {
                refuse("is in a hardware memory transaction, which ends soon; try again");
            }
            for (note, what) in arch::REFUSED_SETS {
                if thread.register_set(*note)?.is_some() {
                    refuse(what);
                }
            }
            let status = status::of_thread(pid, tid)?;
            if tasks.iter().any(|task| task.pid == status.tracerpid) {
                let tracer = status.tracerpid;
                refuse(&format!(
                    "is traced by process {tracer}, which is part of the job; detach the tracer first"
                ));
            }
            if let Err(what) = seccomp::suspend(thread, status.seccomp.unwrap_or(0)) {
                refuse(what);
            }
            refused::of_thread(thread, &mut problems)?;
            peers.add(thread, &status)?;
            let namespaces = Namespaces::of(pid, tid);
            for (name, ours) in &own_namespaces {
                let theirs = namespaces.link(name);
                if theirs.as_ref() == Some(ours) {
                    continue;
                }
                if tid == by {
                    let inside = (*name == "pid").then(|| number_inside(pid)).flatten();
                    let inside = inside.map(|number| format!(", where it is process {number}"));
                    problems.push(Problem::of(
                        Subject::process(pid),
                        format!(
                            ": is in a different {name} namespace than cairn; run cairn in that namespace (nsenter --all --target {pid}){}",
                            inside.unwrap_or_default()
                        ),
                    ));
                } else if theirs != Namespaces::of(pid, by).link(name) {
                    let what =
                        format!("is in a different {name} namespace than its process; end that thread first");
                    problems.push(Problem::of_thread(pid, tid, &what));
                }
            }
            if tid != by {
                for (kind, what) in
                    [(Kind::Files, "descriptor table"), (Kind::Fs, "working directory and umask")]
                {
                    if compare(by, tid, kind)? != Ordering::Equal {
                        let what = format!("has a {what} of its own; end that thread first");
                        problems.push(Problem::of_thread(pid, tid, &what));
                    }
                }
            }
        }
        let label = process::label(pid)?;
        if let Some(why) = other_label(pid, label.as_ref(), own_label.as_ref()) {
            problems.push(why);
        }
    }
    Ok(problems)
}

/// What processes of the job have in common: by PID, the earliest process that has the same.
#[derive(Debug, Default)]
pub struct Shared {
    /// Descriptor tables.
    pub files: BTreeMap<i32, i32>,
    /// Working directories, root directories and umasks.
    pub fs: BTreeMap<i32, i32>,
    /// Address spaces.
    pub memory: BTreeMap<i32, i32>,
    /// Signal actions.
    pub actions: BTreeMap<i32, i32>,
}

impl Shared {
    /// That of all processes; each has one for all its threads.
    ///
    /// # Errors
    /// kcmp(2) is not available.
    pub fn of(tasks: &[Task]) -> Result<Self> {
        Ok(Shared {
            files: same(tasks, Kind::Files)?,
            fs: same(tasks, Kind::Fs)?,
            memory: same(tasks, Kind::Vm)?,
            actions: same(tasks, Kind::Sighand)?,
        })
    }
}

/// The processes that have the same object as an earlier one, and the first that has it.
fn same(tasks: &[Task], kind: Kind) -> Result<BTreeMap<i32, i32>> {
    let mut known = Sorted::new(kind);
    let mut same = BTreeMap::new();
    for Seen { pid, by } in tasks.iter().filter(|task| !task.threads.is_empty()).map(Task::seen) {
        let first = known
            .insert(by, 0, pid)
            .context(|| format!("compare processes with {pid} (needs CONFIG_KCMP)"))?;
        same.extend(first.map(|first| (pid, first.value)));
    }
    Ok(same)
}

/// The reason to refuse a process whose security label differs from ours, which it would inherit at
/// a restart.
fn other_label(pid: i32, theirs: Option<&PathBytes>, ours: Option<&PathBytes>) -> Option<String> {
    let shown = |label: Option<&PathBytes>| label.map_or("none".into(), PathBytes::to_string);
    (theirs != ours).then(|| {
        format!(
            "pid {pid}: has the security label {}, but would inherit {} from cairn at restart; run cairn under the label of the process",
            shown(theirs),
            shown(ours)
        )
    })
}

fn compare(a: i32, b: i32, kind: Kind) -> Result<Ordering> {
    kcmp(a, b, kind, 0, 0).context(|| format!("compare {a} and {b} (needs CONFIG_KCMP)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_security_label_than_ours_is_in_the_way() {
        let label = |text: &str| PathBytes(text.as_bytes().to_vec());
        let (free, bound) = (label("unconfined"), label("cups (enforce)"));
        assert_eq!(other_label(7, None, None), None);
        assert_eq!(other_label(7, Some(&free), Some(&free)), None);
        let why = other_label(7, Some(&bound), Some(&free)).expect("they differ");
        assert!(
            why.contains("pid 7") && why.contains("cups (enforce)") && why.contains("unconfined"),
            "{why}"
        );
        assert!(other_label(7, Some(&bound), None).is_some() && other_label(7, None, Some(&bound)).is_some());
    }
}
