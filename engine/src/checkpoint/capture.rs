//! The part of a checkpoint that runs code in the job: each thread runs one program that reads what
//! is not visible from outside.

use super::ask::{Asked, ask};
use super::inspection::{Inspected, Inspection};
use crate::error::{Problems, Result};
use crate::image::Extent;
use crate::remote::is_at_syscall;
use crate::resource::fd::lock::Locks;
use crate::resource::fd::pty_master;
use crate::resource::fd::socket::lock::Lock;
use crate::resource::fd::terminal::{self, Groups};
use crate::resource::mm::dump::{DumpPlan, Owner};
use crate::resource::process::{Alive, Child, Life, Process, Zombie};
use crate::resource::thread::Thread;
use crate::resource::thread::rings;
use crate::resource::{Records, bytes::PathBytes, clock::Clocks};
use crate::tree::{Frozen, Outside, Scope, Task};
use procfs::process::Stat;
use std::collections::{HashMap, HashSet};

/// All that must be known before the job is thawed or killed.
pub struct Complete {
    /// The records to be written.
    pub records: Records,
    /// The file lock scan, which may still be running.
    pub locks: Locks,
    /// The lock of TCP connections to outside.
    pub lock: Option<Lock>,
    /// Why the job could not be restarted here if it were killed now: a process outside uses one of
    /// its numbers as session or process group.
    pub shared_number: Option<String>,
}

/// The captured state without contents and without relations to processes outside.
pub struct Captured {
    inspection: Inspection,
    clocks: Clocks,
    processes: Vec<Process>,
    owners: Vec<Option<Owner>>,
}

impl Captured {
    /// The memory and files to copy.
    pub fn dump_plan(&self) -> &DumpPlan {
        &self.inspection.tables.dump_plan
    }

    /// The records with the places of the copied contents, by owner.
    ///
    /// # Errors
    /// *unsupported* for what processes outside share with the job.
    pub fn complete(
        mut self,
        frozen: &Frozen,
        scope: Scope,
        mut contents: Vec<Vec<Extent>>,
    ) -> Result<Complete> {
        let (outside, problems) = self.inspection.look_around(&frozen.tasks)?;
        problems.none()?;
        let inside: HashSet<i32> = self.processes.iter().map(|process| process.pid).collect();
        let first = self.processes.first().map_or(scope.id(), |process| process.pid);
        let root = if inside.contains(&scope.id()) { scope.id() } else { first };
        let shared_number = inside.iter().find_map(|pid| {
            let who = outside.member(*pid)?;
            Some(format!(
                "pid {pid}: leads a session or process group that contains {who}, so its PID would stay in use after it is killed; end that process first, or save the whole group or session (--pgid {pid}, --sid {pid})"
            ))
        });
        self.settle_numbers(&Numbers { inside, outside: &outside }, root, &frozen.tasks)?;
        let mut take = |owner: Owner| std::mem::take(&mut contents[owner.index()]);
        for (process, owner) in self.processes.iter_mut().zip(&self.owners) {
            if let (Life::Alive(alive), Some(owner)) = (&mut process.life, owner) {
                alive.memory.pages = take(*owner);
            }
        }
        let locks = self.inspection.take_locks();
        let lock = self.inspection.lock.take();
        let tables = self.inspection.tables;
        let mut records = Records {
            root,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            clocks: Some(self.clocks),
            processes: self.processes,
            files: tables.files.finish(),
            inodes: tables.inodes.finish(&mut take),
            shared: tables.shared.finish(&mut take),
            sysv: self.inspection.sysv,
            cgroups: self.inspection.cgroups.finish(),
        };
        end_connects(&mut records);
        Ok(Complete { records, locks, lock, shared_number })
    }

    /// Decides which ids to record, and what each terminal shows of them.
    fn settle_numbers(&mut self, numbers: &Numbers<'_>, root: i32, tasks: &[Task]) -> Result<()> {
        let all = self.processes.iter().map(|process| process.pgid).collect();
        self.processes.iter_mut().for_each(|process| numbers.apply(process));
        let of_root = self.processes.iter().find(|process| process.pid == root).map_or(0, |root| root.pgid);
        let inside: HashSet<i32> =
            self.processes.iter().map(|process| process.pgid).filter(|pgid| *pgid != 0).collect();
        let mut problems = Problems::default();
        let kinds = self.inspection.tables.inodes.kinds_with_users();
        pty_master::settle(kinds.map(|(kind, user)| (&*kind, user)), &inside, tasks, &mut problems);
        terminal::settle(
            self.inspection.tables.inodes.kinds_with_users(),
            &Groups { all, inside, of_root },
            |sid| numbers.is_session_outside(sid),
            &mut problems,
        );
        problems.none()
    }

    /// The records without any contents.
    ///
    /// # Errors
    /// As [`Captured::complete`].
    pub fn without_contents(self, frozen: &Frozen, scope: Scope) -> Result<Complete> {
        let owners = self.dump_plan().owners();
        self.complete(frozen, scope, vec![Vec::new(); owners])
    }
}

/// Ends calls of connect(2) whose connection came about after the thread was interrupted. Its
/// socket is one that connects, and the same call would tell of success (net/ipv4/af_inet.c,
/// `__inet_stream_connect`); to a restarted one, which is connected, it would be an error
/// (EISCONN).
fn end_connects(records: &mut Records) {
    let is_connected = |alive: &Alive, number: u64| {
        let fd = records.table_of(alive).iter().find(|fd| fd.fd as u64 == number);
        fd.is_some_and(|fd| records.inodes[records.files[fd.file].inode].kind.verbs().is_connected())
    };
    let mut ended = HashSet::new();
    for (_, alive) in records.alive() {
        let connected = |thread: &&Thread| {
            let Thread { tid, regs, .. } = thread;
            regs.makes_again(libc::SYS_connect, || is_at_syscall(*tid, regs))
                && is_connected(alive, regs.arguments()[0])
        };
        ended.extend(alive.threads.iter().filter(connected).map(|thread| thread.tid));
    }
    for process in &mut records.processes {
        let Life::Alive(alive) = &mut process.life else { continue };
        for thread in alive.threads.iter_mut().filter(|thread| ended.contains(&thread.tid)) {
            thread.regs = thread.regs.returned(0);
        }
    }
}

/// Decides which ids to record: those of saved processes, and those of sessions and groups whose
/// leader has exited and that have no member outside.
struct Numbers<'a> {
    inside: HashSet<i32>,
    outside: &'a Outside,
}

impl Numbers<'_> {
    fn is_session_outside(&self, sid: i32) -> bool {
        !self.inside.contains(&sid) && self.outside.has_session(sid)
    }

    /// Zeroes all other ids of a process.
    fn apply(&self, process: &mut Process) {
        let Process { ppid, pgid, sid, life, .. } = process;
        if !self.inside.contains(ppid) {
            *ppid = 0;
        }
        if self.is_session_outside(*sid) {
            *sid = 0;
            if let Life::Alive(alive) = life {
                alive.session_nice = 0;
            }
        }
        if !self.inside.contains(pgid) && self.outside.has_group(*pgid) {
            *pgid = 0;
        }
    }
}

impl Inspection {
    /// Reads from inside every thread what is not visible from outside.
    ///
    /// # Errors
    /// *unsupported* for state found only this way; what the kernel reports.
    pub fn capture(mut self, frozen: &mut Frozen) -> Result<Captured> {
        let mut children: HashMap<i32, Vec<Child>> = HashMap::new();
        for task in frozen.tasks.iter().filter(|t| !t.threads.is_empty()) {
            let child = Child { pid: task.pid, stopped: task.group_stop().is_some() };
            children.entry(task.stat.ppid).or_default().push(child);
        }
        // Parents come before children.
        let mut asked = Asked::default();
        let mut processes = Vec::new();
        let mut owners = Vec::new();
        for (task, seen) in frozen.tasks.iter_mut().zip(std::mem::take(&mut self.found)) {
            let stat = &task.stat;
            let Stat { pid, ppid, pgrp: pgid, session: sid, .. } = *stat;
            let exit_signal = stat.exit_signal.unwrap_or(libc::SIGCHLD);
            let life = match seen {
                Inspected::Zombie => {
                    let status = stat.exit_code.unwrap_or(0);
                    owners.push(None);
                    Life::Zombie(Zombie { status, comm: PathBytes(stat.comm.clone().into_bytes()) })
                }
                Inspected::Alive(seen) => {
                    owners.push(Some(seen.pages));
                    let children = children.get(&pid).map_or(&[][..], Vec::as_slice);
                    let mut alive = ask(task, *seen, children, &self.peers, &mut asked)?;
                    alive.note_report(asked.reports.get(&pid).copied().unwrap_or(false));
                    Life::Alive(Box::new(alive))
                }
            };
            processes.push(Process { pid, ppid, pgid, sid, exit_signal, life });
        }
        let Asked { answers, mut problems, .. } = asked;
        rings::refuse_silent(answers, &mut problems);
        problems.none()?;
        Ok(Captured { inspection: self, clocks: Clocks::now(), processes, owners })
    }
}
