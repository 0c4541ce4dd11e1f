//! The order in which processes are created, so that parents, sessions and process groups come out
//! as they were.
//!
//! A child inherits its parent's session, so a session leader forks some children before setsid(2)
//! and the others after. A session or group whose leader has exited needs a *helper* that stands in
//! for the leader and exits again; its children are then reparented to the nearest subreaper, as
//! the original ones were.
//!
//! Processes that share memory, a descriptor table and the like do so since one of them was
//! created. A process that shares with its parent is created by that, and one that shares with a
//! sibling by the sibling. Others had a creator that has left since then (unshare(2), execve(2)).
//! Pure.

use crate::resource::process::{Common, Firsts, Life, Process};
use std::collections::{BTreeMap, BTreeSet};

/// The parent that forks a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parent {
    /// The engine itself.
    Engine,
    /// A process created earlier.
    Process(i32),
}

/// A helper that forks the processes without a parent in the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandIn {
    /// Its PID.
    pub pid: i32,
    /// It calls setsid(2) first: processes whose session is not in the records end up in this one.
    pub begins_session: bool,
}

/// A step of process creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreationStep {
    /// Creates a process of the records.
    Create {
        /// Its parent.
        parent: Parent,
        /// Its PID.
        pid: i32,
        /// Signal to its parent on exit.
        exit_signal: i32,
        /// What it has in common with its parent.
        common: Common,
    },
    /// A process creates another child of its own parent (`CLONE_PARENT`), which has the same exit
    /// signal.
    CreateSibling {
        /// Who creates it.
        sibling: i32,
        /// Its PID.
        pid: i32,
        /// What both have in common.
        common: Common,
    },
    /// Creates a helper that stands in for a leader that has exited.
    CreateHelper {
        /// Its parent.
        parent: Parent,
        /// The leader's PID.
        pid: i32,
    },
    /// The process calls setsid(2).
    Setsid(i32),
    /// The process joins a process group, or creates one with its own PID.
    Setpgid {
        /// Its PID.
        pid: i32,
        /// The process group.
        pgid: i32,
    },
    /// The process becomes a child subreaper.
    BecomeSubreaper(i32),
    /// The helper exits and its parent reaps it.
    Leave {
        /// PID of the helper.
        pid: i32,
        /// Its parent.
        parent: Parent,
    },
}

/// The steps in order. A process without a parent in the records becomes a child of the engine, in
/// the engine's session and group if its own are outside (0). A `stand_in` forks them instead of
/// the engine; when it exits, they are reparented to the reaper of orphans, as a daemon is.
///
/// # Errors
/// The relation between processes that cannot be recreated.
pub fn creation_order(
    processes: &[Process],
    subreapers: &BTreeSet<i32>,
    stand_in: Option<StandIn>,
) -> Result<Vec<CreationStep>, String> {
    let (mut children, mut groups) = (BTreeMap::new(), BTreeMap::new());
    for process in processes {
        children.entry(process.ppid).or_insert_with(Vec::new).push(process.pid);
        if process.pgid != 0 {
            groups.entry(process.pgid).or_insert_with(Vec::new).push(process.pid);
        }
    }
    for pids in children.values_mut().chain(groups.values_mut()) {
        pids.sort_unstable();
    }
    let mut planner = Planner {
        by_pid: processes.iter().map(|p| (p.pid, p)).collect(),
        children,
        groups,
        subreapers,
        top: stand_in.map_or(Parent::Engine, |helper| Parent::Process(helper.pid)),
        steps: Vec::new(),
        created: BTreeSet::new(),
        born: BTreeMap::new(),
        played: BTreeSet::new(),
    };
    if let Some(StandIn { pid, begins_session }) = stand_in {
        planner.steps.push(CreationStep::CreateHelper { parent: Parent::Engine, pid });
        planner.steps.extend(begins_session.then_some(CreationStep::Setsid(pid)));
    }
    planner.family(Parent::Engine, 0)?;
    if let Some(missing) = processes.iter().find(|p| !planner.created.contains(&p.pid)) {
        return Err(format!("pid {}: its parent {} is not part of the restart", missing.pid, missing.ppid));
    }
    planner.groups(processes)?;
    // Last: a process in no recorded group is in the helper's.
    planner
        .steps
        .extend(stand_in.map(|StandIn { pid, .. }| CreationStep::Leave { pid, parent: Parent::Engine }));
    Ok(planner.steps)
}

struct Planner<'a> {
    by_pid: BTreeMap<i32, &'a Process>,
    /// PIDs of children by PID of the parent, sorted; the engine is 0.
    children: BTreeMap<i32, Vec<i32>>,
    /// Members of each process group, sorted by PID.
    groups: BTreeMap<i32, Vec<i32>>,
    subreapers: &'a BTreeSet<i32>,
    /// The parent of processes that have none in the records: the engine or the stand-in.
    top: Parent,
    steps: Vec<CreationStep>,
    created: BTreeSet<i32>,
    /// Children created so far, in order, by their parent and the session they were created in.
    born: BTreeMap<(Parent, i32), Vec<i32>>,
    /// Sessions recreated by a helper.
    played: BTreeSet<i32>,
}

fn leads_session(process: &Process) -> bool {
    process.sid == process.pid
}

/// The first processes that have what it has. `None` for a zombie, which has nothing.
fn firsts(process: &Process) -> Option<Firsts> {
    match &process.life {
        Life::Alive(alive) => Some(alive.firsts(process.pid)),
        Life::Zombie(_) => None,
    }
}

impl Planner<'_> {
    fn children(&self, parent: Parent) -> Vec<i32> {
        let ppid = match parent {
            Parent::Engine => 0,
            Parent::Process(pid) => pid,
        };
        self.children.get(&ppid).cloned().unwrap_or_default()
    }

    /// The session in which a process has to be created, for itself and its early children; `None`
    /// if any will do.
    fn creation_session(&self, pid: i32) -> Result<Option<i32>, String> {
        let process = self.by_pid[&pid];
        if !leads_session(process) {
            return Ok(Some(process.sid));
        }
        let mut needed = None;
        for child in self.children(Parent::Process(pid)) {
            let session = match self.creation_session(child)? {
                Some(session) if session != pid && !self.is_orphaned(session) => session,
                _ => continue,
            };
            if *needed.get_or_insert(session) != session {
                return Err(format!("pid {pid}: children in two sessions older than its own"));
            }
        }
        Ok(needed)
    }

    /// Whether the session has no leader in the records and is not the engine's.
    fn is_orphaned(&self, sid: i32) -> bool {
        sid != 0 && !self.by_pid.get(&sid).is_some_and(|p| leads_session(p))
    }

    /// Creates the children of `parent`, currently in `session`, and their descendants.
    fn family(&mut self, parent: Parent, session: i32) -> Result<(), String> {
        let own = match parent {
            Parent::Engine => session,
            Parent::Process(pid) if leads_session(self.by_pid[&pid]) => pid,
            Parent::Process(_) => session,
        };
        let (mut early, mut late) = (Vec::new(), Vec::new());
        let mut orphans: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for child in self.children(parent) {
            match self.creation_session(child)? {
                Some(sid) if sid == own => late.push(child),
                None => late.push(child),
                Some(sid) if sid == session => early.push(child),
                Some(sid) if self.is_orphaned(sid) => orphans.entry(sid).or_default().push(child),
                Some(sid) => {
                    return Err(format!(
                        "pid {child}: in session {sid}, which its parent could never have been in"
                    ));
                }
            }
        }
        for child in early {
            self.create(parent, child, session)?;
        }
        if own != session
            && let Parent::Process(pid) = parent
        {
            self.steps.push(CreationStep::Setsid(pid));
        }
        for child in late {
            self.create(parent, child, own)?;
        }
        for (sid, children) in orphans {
            self.adopt(parent, sid, &children)?;
        }
        Ok(())
    }

    fn create(&mut self, parent: Parent, pid: i32, session: i32) -> Result<(), String> {
        let parent = self.creator(parent);
        self.bear(parent, pid, session)?;
        self.arrive(pid, session)
    }

    /// Creates a child of `parent`, which is in `session`, in a process with which it has all in
    /// common that it shares with an earlier one.
    fn bear(&mut self, parent: Parent, pid: i32, session: i32) -> Result<(), String> {
        let process = self.by_pid[&pid];
        let exit_signal = process.exit_signal;
        let is_shared = firsts(process).map_or(Common::default(), |firsts| firsts.shared_by(pid));
        let with_parent = match parent {
            Parent::Engine => Common::default(),
            Parent::Process(parent) => self.common(parent, pid),
        };
        if is_shared == with_parent {
            self.steps.push(CreationStep::Create { parent, pid, exit_signal, common: with_parent });
        } else {
            // A session leader has left this session by now.
            let can_create = |sibling: &&i32| {
                let sibling = self.by_pid[*sibling];
                sibling.exit_signal == exit_signal
                    && !leads_session(sibling)
                    && self.common(sibling.pid, pid) == is_shared
            };
            let sibling = self.born.get(&(parent, session)).into_iter().flatten().find(can_create).copied();
            let sibling = sibling.ok_or_else(|| self.unrelated(pid, is_shared, with_parent))?;
            self.steps.push(CreationStep::CreateSibling { sibling, pid, common: is_shared });
        }
        self.born.entry((parent, session)).or_default().push(pid);
        Ok(())
    }

    /// What a process that is to be created has in common with one that is there.
    fn common(&self, creator: i32, pid: i32) -> Common {
        // A helper has nothing in common with anybody.
        let of = |pid: i32| self.by_pid.get(&pid).and_then(|process| firsts(process));
        of(creator).zip(of(pid)).map_or(Common::default(), |(one, other)| one.common(other))
    }

    /// Why a process cannot be created with what it shares.
    fn unrelated(&self, pid: i32, shared: Common, with_parent: Common) -> String {
        let firsts = firsts(self.by_pid[&pid]).expect("a zombie shares nothing");
        let (what, with) = if shared.files && !with_parent.files {
            ("its descriptor table", firsts.files)
        } else if shared.memory && !with_parent.memory {
            ("its memory", firsts.memory)
        } else if shared.actions && !with_parent.actions {
            ("its signal actions", firsts.actions)
        } else {
            ("its working directory and umask", firsts.fs)
        };
        format!(
            "pid {pid}: shares {what} with pid {with}, but neither with its parent nor with a sibling that could create it: it can only be created by a process that shares all that it does; let it leave (unshare(2)), or execute a program first"
        )
    }

    fn creator(&self, parent: Parent) -> Parent {
        if parent == Parent::Engine { self.top } else { parent }
    }

    fn arrive(&mut self, pid: i32, session: i32) -> Result<(), String> {
        self.created.insert(pid);
        if self.subreapers.contains(&pid) {
            self.steps.push(CreationStep::BecomeSubreaper(pid));
        }
        self.family(Parent::Process(pid), session)
    }

    /// Creates children of `parent` in a session whose leader has exited: forked by a helper, then
    /// reparented.
    fn adopt(&mut self, parent: Parent, sid: i32, children: &[i32]) -> Result<(), String> {
        let adopts = match parent {
            Parent::Engine => true,
            Parent::Process(pid) => self.subreapers.contains(&pid),
        };
        if !adopts {
            return Err(format!(
                "pid {}: in session {sid}, whose leader has ended, but its parent is not a subreaper that could have adopted it",
                children[0]
            ));
        }
        if self.by_pid.contains_key(&sid) {
            return Err(format!("session {sid}: its id is that of a process in another session"));
        }
        let parent = self.creator(parent);
        self.steps.push(CreationStep::CreateHelper { parent, pid: sid });
        self.steps.push(CreationStep::Setsid(sid));
        self.played.insert(sid);
        for child in children {
            self.bear(Parent::Process(sid), *child, sid)?;
            self.arrive(*child, sid)?;
        }
        // The group of the same number needs the leader, too, until every member has joined.
        self.join(sid, |_| true);
        self.steps.push(CreationStep::Leave { pid: sid, parent });
        Ok(())
    }

    fn join(&mut self, pgid: i32, who: impl Fn(&Process) -> bool) {
        let members = self.groups.get(&pgid).into_iter().flatten().filter(|pid| {
            let process = self.by_pid[*pid];
            **pid != pgid && !leads_session(process) && self.created.contains(*pid) && who(process)
        });
        self.steps.extend(members.map(|pid| CreationStep::Setpgid { pid: *pid, pgid }));
    }

    /// A process group exists as long as it has a member. First every process whose PID names a
    /// group creates it; then processes that lead no group join theirs; then leaders of one group
    /// that are members of another move there, each after the others have joined its own.
    fn groups(&mut self, processes: &[Process]) -> Result<(), String> {
        let groups: BTreeSet<i32> = self.groups.keys().copied().collect();
        let begins = |p: &Process| groups.contains(&p.pid) && !leads_session(p);
        for process in processes.iter().filter(|p| begins(p)) {
            self.steps.push(CreationStep::Setpgid { pid: process.pid, pgid: process.pid });
        }
        for pgid in &groups {
            match self.by_pid.get(pgid) {
                Some(_) => self.join(*pgid, |p| !begins(p)),
                None if self.played.contains(pgid) => {} // joined while the helper was there
                None => self.group_without_leader(*pgid),
            }
        }
        let mut movers: Vec<&Process> = processes.iter().filter(|p| begins(p) && p.pgid != p.pid).collect();
        while !movers.is_empty() {
            let wanted: BTreeSet<i32> = movers.iter().map(|m| m.pgid).collect();
            let (stay, free): (Vec<&Process>, _) = movers.into_iter().partition(|m| wanted.contains(&m.pid));
            if free.is_empty() {
                return Err(format!("pid {}: process groups that swapped leaders", stay[0].pid));
            }
            self.steps.extend(free.iter().map(|m| CreationStep::Setpgid { pid: m.pid, pgid: m.pgid }));
            movers = stay;
        }
        Ok(())
    }

    fn group_without_leader(&mut self, pgid: i32) {
        // Any process of the session can fork the helper; use a member.
        let parent = Parent::Process(self.groups[&pgid][0]);
        self.steps.push(CreationStep::CreateHelper { parent, pid: pgid });
        self.steps.push(CreationStep::Setpgid { pid: pgid, pgid });
        self.join(pgid, |_| true);
        self.steps.push(CreationStep::Leave { pid: pgid, parent });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::bytes::PathBytes;
    use crate::resource::process::{Life, Zombie};
    use proptest::prelude::*;

    fn process(pid: i32, ppid: i32, pgid: i32, sid: i32) -> Process {
        let life = Life::Zombie(Zombie { status: 0, comm: PathBytes::default() });
        Process { pid, ppid, pgid, sid, exit_signal: 17, life }
    }

    fn plan(table: &[(i32, i32, i32, i32)], subreapers: &[i32]) -> Result<Vec<CreationStep>, String> {
        let processes: Vec<_> = table.iter().map(|(a, b, c, d)| process(*a, *b, *c, *d)).collect();
        creation_order(&processes, &subreapers.iter().copied().collect(), None)
    }

    /// Simulates the steps as the kernel would; returns (ppid, pgid, sid) of the remaining
    /// processes by PID.
    fn play(steps: &[CreationStep]) -> BTreeMap<i32, (i32, i32, i32)> {
        let mut alive: BTreeMap<i32, (i32, i32, i32)> = BTreeMap::new();
        let mut reapers = BTreeSet::new();
        for step in steps {
            match *step {
                CreationStep::Create { parent, pid, .. } | CreationStep::CreateHelper { parent, pid } => {
                    let (ppid, pgid, sid) = match parent {
                        Parent::Engine => (0, 0, 0),
                        Parent::Process(p) => (p, alive[&p].1, alive[&p].2),
                    };
                    assert!(alive.insert(pid, (ppid, pgid, sid)).is_none(), "{pid} is created twice");
                }
                CreationStep::CreateSibling { sibling, pid, .. } => {
                    let like = alive[&sibling];
                    assert!(alive.insert(pid, like).is_none(), "{pid} is created twice");
                }
                CreationStep::Setsid(pid) => {
                    let entry = alive.get_mut(&pid).unwrap();
                    assert_ne!(entry.1, pid, "a group leader may not");
                    (entry.1, entry.2) = (pid, pid);
                }
                CreationStep::Setpgid { pid, pgid } => {
                    let sid = alive[&pid].2;
                    assert_ne!(sid, pid, "a session leader may not");
                    let exists = pid == pgid || alive.values().any(|(_, g, s)| (*g, *s) == (pgid, sid));
                    assert!(exists, "group {pgid} is not there for {pid}");
                    alive.get_mut(&pid).unwrap().1 = pgid;
                }
                CreationStep::BecomeSubreaper(pid) => {
                    reapers.insert(pid);
                }
                CreationStep::Leave { pid, .. } => {
                    let mut successor = alive[&pid].0;
                    while successor != 0 && !reapers.contains(&successor) {
                        successor = alive[&successor].0;
                    }
                    alive.remove(&pid);
                    alive
                        .values_mut()
                        .filter(|(ppid, ..)| *ppid == pid)
                        .for_each(|entry| entry.0 = successor);
                }
            }
        }
        alive
    }

    fn comes_out(table: &[(i32, i32, i32, i32)], subreapers: &[i32]) {
        let steps = plan(table, subreapers).unwrap();
        let want: BTreeMap<_, _> = table.iter().map(|(p, pp, g, s)| (*p, (*pp, *g, *s))).collect();
        assert_eq!(play(&steps), want, "{steps:?}");
    }

    #[rstest::rstest]
    #[case::alone(&[(10, 0, 10, 10)], &[])]
    #[case::in_the_engines_session(&[(10, 0, 0, 0), (11, 10, 0, 0)], &[])]
    #[case::pipeline(&[(10, 0, 10, 10), (11, 10, 11, 10), (12, 10, 11, 10)], &[])]
    #[case::child_older_than_the_session(&[(10, 0, 10, 10), (11, 10, 11, 11), (12, 11, 10, 10)], &[])]
    #[case::group_without_leader(&[(10, 0, 10, 10), (12, 10, 11, 10), (13, 10, 11, 10)], &[])]
    #[case::leader_in_another_group(&[(10, 0, 10, 10), (11, 10, 10, 10), (12, 11, 11, 10)], &[])]
    #[case::daemon_under_subreaper(&[(10, 0, 10, 10), (12, 10, 11, 11)], &[10])]
    #[case::daemons_of_the_engine(&[(12, 0, 11, 11), (13, 12, 13, 11)], &[])]
    #[case::daemon_with_children(&[(10, 0, 10, 10), (12, 10, 11, 11), (13, 12, 13, 13), (14, 12, 14, 11)], &[10])]
    fn trees_come_out_as_they_were(#[case] table: &[(i32, i32, i32, i32)], #[case] subreapers: &[i32]) {
        comes_out(table, subreapers);
    }

    #[rstest::rstest]
    #[case::leader(&[(10, 0, 10, 10), (11, 10, 11, 10)])]
    #[case::job_of_a_shell(&[(10, 0, 10, 0), (11, 10, 10, 0), (12, 10, 12, 12)])]
    #[case::in_the_shells_group(&[(10, 0, 0, 0), (11, 10, 0, 0)])]
    #[case::orphans(&[(12, 0, 11, 11), (13, 12, 13, 11)])]
    fn nobody_is_a_child_of_the_engine_when_a_helper_stands_in(#[case] table: &[(i32, i32, i32, i32)]) {
        const STAND_IN: i32 = 99;
        let processes: Vec<_> = table.iter().map(|(a, b, c, d)| process(*a, *b, *c, *d)).collect();
        let stand_in = StandIn { pid: STAND_IN, begins_session: true };
        let steps = creation_order(&processes, &BTreeSet::new(), Some(stand_in)).unwrap();
        let of_the_engine = |step: &&CreationStep| {
            matches!(
                step,
                CreationStep::Create { parent: Parent::Engine, .. }
                    | CreationStep::CreateHelper { parent: Parent::Engine, .. }
            )
        };
        let helper = CreationStep::CreateHelper { parent: Parent::Engine, pid: STAND_IN };
        assert_eq!(steps.iter().filter(of_the_engine).collect::<Vec<_>>(), [&helper]);
        let outside = |id: i32| if id == 0 { STAND_IN } else { id };
        let want: BTreeMap<_, _> =
            table.iter().map(|(p, pp, g, s)| (*p, (*pp, outside(*g), outside(*s)))).collect();
        assert_eq!(play(&steps), want, "{steps:?}");
    }

    #[test]
    fn what_could_never_have_been_is_refused() {
        let err = plan(&[(10, 0, 10, 10), (12, 10, 11, 11)], &[]).unwrap_err();
        insta::assert_snapshot!(err, @"pid 12: in session 11, whose leader has ended, but its parent is not a subreaper that could have adopted it");
    }

    proptest! {
        /// Any history of fork, setsid and setpgid can be replayed.
        #[test]
        fn histories_can_be_told_again(acts in prop::collection::vec((0..3u8, 0..8usize, 0..8usize), 0..24)) {
            let mut table = vec![(100, 0, 100, 100)];
            for (act, who, other) in acts {
                let (pid, _, pgid, sid) = table[who % table.len()];
                match act {
                    0 => table.push((100 + table.len() as i32, pid, pgid, sid)),
                    1 if pgid != pid && !table.iter().any(|t| t.2 == pid) => {
                        let entry = table.iter_mut().find(|t| t.0 == pid).unwrap();
                        (entry.2, entry.3) = (pid, pid);
                    }
                    2 if sid != pid => {
                        let wish = table[other % table.len()];
                        let pgid = if wish.3 == sid { wish.2 } else { pid };
                        table.iter_mut().find(|t| t.0 == pid).unwrap().2 = pgid;
                    }
                    _ => {}
                }
            }
            match plan(&table, &[]) {
                Err(why) => prop_assert!(why.contains("exchanged"), "{}", why),
                Ok(_) => comes_out(&table, &[]),
            }
        }
    }
}
