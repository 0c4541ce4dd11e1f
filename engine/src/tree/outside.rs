//! Processes outside the saved tree: their sessions and groups, and what they share with it.

use super::freeze::Task;
use super::scope::{own_processes, threads};
use crate::error::{Context, External, Problem, Problems, Result, Subject};
use crate::proc::stat::Brief;
use crate::proc::{maps, read_short, status};
use crate::resource::fd::description::Files;
use crate::resource::ipc::segment;
use crate::resource::mm::shared::ObjectId;
use crate::sys::kcmp::{Kind, Sorted};
use crate::sys::task::Seen;
use std::collections::{BTreeSet, HashMap, HashSet};

/// All processes, kernel threads included. Those that exit during the scan are skipped.
pub fn everybody() -> impl Iterator<Item = Brief> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Brief::parse(&read_short(&format!("/proc/{pid}/stat")).ok()?))
}

/// All sessions that have a member.
pub fn sessions() -> BTreeSet<i32> {
    everybody().map(|stat| stat.session).collect()
}

/// The members of the process group or session of this number.
pub fn members(number: i32) -> Vec<Brief> {
    everybody().filter(|stat| stat.pgrp == number || stat.session == number).collect()
}

/// Whether our process group is orphaned (kernel/exit.c, `will_become_orphaned_pgrp`): stop signals
/// from the terminal do not stop it then.
pub fn is_own_group_orphaned() -> bool {
    let all: Vec<Brief> = everybody().collect();
    let own = std::process::id() as i32;
    let Some(us) = all.iter().find(|stat| stat.pid == own) else { return false };
    let by_pid: HashMap<i32, &Brief> = all.iter().map(|stat| (stat.pid, stat)).collect();
    let has_shell = |member: &Brief| {
        let parent = by_pid.get(&member.ppid);
        living_thread(member.pid, member.state).is_some()
            && parent.is_some_and(|parent| parent.pgrp != us.pgrp && parent.session == us.session)
    };
    !all.iter().any(|stat| stat.pgrp == us.pgrp && has_shell(stat))
}

/// A process outside the saved tree.
struct Other {
    stat: Brief,
    /// The thread by which what it shares is found; `None` for a zombie.
    by: Option<i32>,
    /// PID of its tracer, or 0.
    tracer: i32,
    /// Descriptors that may be shared with the tree, with their link targets.
    descriptors: Vec<(i32, Vec<u8>)>,
}

/// A use of an object in the tree that a process outside may see.
#[derive(Debug, Clone)]
pub struct ObjectUse {
    /// A mapping or descriptor of it.
    pub at: Subject,
    /// Whether it may be written in the tree.
    pub writes: bool,
}

/// The processes outside, as they were just after the last process in scope was stopped.
pub struct Outside {
    others: Vec<Other>,
    sessions: HashSet<i32>,
    groups: HashSet<i32>,
}

impl Outside {
    /// Scans all processes that are neither `known` nor cairn's own, and those of their descriptors
    /// that lead to one of `links`.
    pub fn look(known: &HashSet<i32>, links: &HashSet<Vec<u8>>) -> Self {
        let ours = own_processes();
        let is_other = |stat: &Brief| {
            !stat.is_kernel_thread() && !known.contains(&stat.pid) && !ours.contains(&stat.pid)
        };
        let look = |stat: Brief| {
            let status = read_short(&format!("/proc/{}/status", stat.pid)).ok();
            let tracer = status.and_then(|status| status::tracer(&status)).unwrap_or(0);
            let by = living_thread(stat.pid, stat.state);
            let found = by.filter(|_| !links.is_empty()).map(|tid| descriptors(tid, links));
            Other { stat, by, tracer, descriptors: found.unwrap_or_default() }
        };
        let others: Vec<Other> = everybody().filter(is_other).map(look).collect();
        let sessions = others.iter().map(|other| other.stat.session).collect();
        let groups = others.iter().map(|other| other.stat.pgrp).collect();
        Outside { others, sessions, groups }
    }

    /// All but zombies, each with the thread by which what it shares is found.
    fn living(&self) -> impl Iterator<Item = (&Other, i32)> {
        self.others.iter().filter_map(|other| Some((other, other.by?)))
    }

    /// Whether a process outside is in this session, which then persists without ours.
    pub fn has_session(&self, sid: i32) -> bool {
        self.sessions.contains(&sid)
    }

    /// Whether a process outside is in this process group.
    pub fn has_group(&self, pgid: i32) -> bool {
        self.groups.contains(&pgid)
    }

    /// A living process outside in the process group or session of this number, which it keeps in
    /// use.
    pub fn member(&self, number: i32) -> Option<String> {
        let is_in = |other: &&Other| other.stat.pgrp == number || other.stat.session == number;
        self.living().map(|(other, _)| other).find(is_in).map(|other| Self::name(&other.stat))
    }

    /// The name of such a process in messages.
    fn name(stat: &Brief) -> String {
        format!("process {} ({}) outside the job", stat.pid, String::from_utf8_lossy(&stat.comm))
    }

    /// Address spaces, descriptor tables and the like that are shared with a process outside.
    ///
    /// # Errors
    /// kcmp(2) is not available.
    pub fn sharing(&self, tasks: &[Task], problems: &mut Problems) -> Result<()> {
        let alive: Vec<Seen> = tasks.iter().filter(|t| !t.threads.is_empty()).map(Task::seen).collect();
        for (kind, what) in [
            (Kind::Vm, "its address space"),
            (Kind::Files, "its descriptor table"),
            (Kind::Fs, "its working directory and umask"),
            (Kind::Sighand, "its signal actions"),
        ] {
            let mut ours = Sorted::new(kind);
            for Seen { pid, by } in &alive {
                ours.insert(*by, 0, *pid)
                    .context(|| format!("compare processes with {pid} (needs CONFIG_KCMP)"))?;
            }
            for (Other { stat, .. }, by) in self.living() {
                // A process that has just exited shares nothing.
                if let Ok(Some(same)) = ours.find(by, 0) {
                    let pid = same.value;
                    problems.push(Problem::external(
                        Subject::process(pid),
                        External::SharedState,
                        format!(": shares {what} with {}", Self::name(stat)),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Processes outside that have a tracer in the tree.
    pub fn traced(&self, tasks: &[Task], problems: &mut Problems) {
        let tids: HashMap<i32, i32> = tasks
            .iter()
            .flat_map(|task| task.threads.iter().map(|thread| (thread.tid(), task.pid)))
            .collect();
        for Other { stat, tracer, .. } in &self.others {
            if let Some(pid) = tids.get(tracer) {
                problems.push(Problem::external(
                    Subject::process(*pid),
                    External::Tracee,
                    format!(
                        ": traces {}; detach from it, or save a tree that contains both",
                        Self::name(stat)
                    ),
                ));
            }
        }
    }

    /// Open file descriptions that a process outside has, too.
    pub fn holders(&self, ours: &Files, problems: &mut Problems) {
        for (Other { stat, descriptors, .. }, by) in self.living() {
            for (number, link) in descriptors {
                if let Some((pid, fd)) = ours.shared_with(link, by, *number) {
                    problems.push(Problem::external(
                        Subject::fd(pid, fd).leading_to(String::from_utf8_lossy(link)),
                        External::OpenFile,
                        format!(" is shared with {}, which has it as fd {number}", Self::name(stat)),
                    ));
                }
            }
        }
    }

    /// Memory and unlinked files that a process outside maps shared, too, unless neither writes.
    /// `ours` has a use in the tree of each object.
    pub fn mappers(&self, ours: &HashMap<ObjectId, &ObjectUse>, problems: &mut Problems) {
        if ours.is_empty() {
            return;
        }
        let own = std::fs::read_link("/proc/self/ns/ipc").ok();
        for (Other { stat, .. }, by) in self.living() {
            let Ok(text) = std::fs::read(format!("/proc/{by}/maps")) else { continue };
            // The segments of all IPC namespaces are on one file system, and numbered in each. Who
            // has none any more has ended since its mappings were read.
            let is_elsewhere = || std::fs::read_link(format!("/proc/{by}/ns/ipc")).ok() != own;
            let mut told = HashSet::new();
            for mapping in maps::parse(&text) {
                let is_segment = segment::key_of(mapping.printed).is_some();
                let object = mapping.object().map(|node| ObjectId { node, is_segment });
                if let Some(object) = object
                    && let Some(ObjectUse { at, writes }) = ours.get(&object)
                    && (*writes || mapping.shared && mapping.write)
                    && told.insert(object)
                    && !(is_segment && is_elsewhere())
                {
                    problems.push(Problem::external(
                        at.clone(),
                        External::SharedMemory,
                        format!(": this memory is also mapped by {}", Self::name(stat)),
                    ));
                }
            }
        }
    }
}

/// A thread that has not exited, of a process whose leader is in this state: the leader, if
/// possible.
pub fn living_thread(pid: i32, state: char) -> Option<i32> {
    // A zombie, and one that its parent is reaping (EXIT_DEAD, kernel/exit.c,
    // `wait_task_zombie`).
    let lives = |state: char| !matches!(state, 'Z' | 'X');
    if lives(state) {
        return Some(pid);
    }
    let mut tids = threads(pid).unwrap_or_default().into_iter();
    tids.find(|tid| Brief::of_thread(pid, *tid).is_some_and(|stat| lives(stat.state)))
}

/// Descriptors of a thread that lead to one of `links`, with their link targets.
fn descriptors(tid: i32, links: &HashSet<Vec<u8>>) -> Vec<(i32, Vec<u8>)> {
    use std::os::unix::ffi::OsStringExt;
    let entries = std::fs::read_dir(format!("/proc/{tid}/fd")).into_iter().flatten().flatten();
    let all = entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let link = std::fs::read_link(entry.path()).ok()?.into_os_string().into_vec();
        links.contains(&link).then_some((number, link))
    });
    all.collect()
}
