//! The plan of a restart: from records to steps. Pure: no system calls.

use super::graph::{Graph, Node};
pub use super::step::{NewTask, Step};
use crate::arch;
use crate::phase::Restart as Phase;
use crate::remote::{Arg, Program, scratch::SCRATCH_SIZE};
use crate::resource::fd::description::OpenFile;
use crate::resource::fd::inode::Inode;
use crate::resource::fd::table::{self, Fd, Slots};
use crate::resource::fd::{Holder, Holders, JoinStage, Kind, Programs, Restored, Verbs};
use crate::resource::mm::Range;
use crate::resource::mm::restore::{MemorySources, SpecialMapping};
use crate::resource::mm::vma::Backing;
use crate::resource::process::{self, Alive, Common, Life, Process, State, Zombie};
use crate::resource::thread::Thread;
use crate::resource::thread::creds::Creds;
use crate::resource::thread::seccomp;
use crate::resource::{Records, signal, timer};
use crate::sys::RemoteAddr;
use crate::sys::clone::{CLONE_ARGS_SIZE, CloneArgs};
use crate::tree::creation::{CreationStep, Parent, StandIn, creation_order};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

/// What a plan has to know of the machine and of the engine that will carry it out.
#[derive(Debug, Clone)]
pub struct Host {
    /// The kernel's special mappings in the engine.
    pub special: Vec<SpecialMapping>,
    /// Addresses in use in the engine.
    pub busy: Vec<Range>,
    /// One past the highest user address.
    pub task_size: u64,
    /// Credentials that a new process inherits.
    pub creds: Creds,
    /// Resource limits that a new process inherits.
    pub rlimits: Vec<(u64, u64)>,
    /// The soft and hard RLIMIT_CORE under which a new process dumps no core; `None` where the
    /// kernel dumps regardless of the limit.
    pub coreless: Option<(u64, u64)>,
    /// Whether the kernel supports memory policies.
    pub policies: bool,
    /// Whether POSIX timers can be created with a given id (Linux 6.15).
    pub timer_ids_by_wish: bool,
    /// Descriptors from here on are free, and stay free while files are opened.
    pub first_slot: i32,
    /// The parent of processes that have none in the records, unless it is the engine.
    pub stand_in: Option<StandIn>,
    /// Inodes of files to truncate to their old size.
    pub cut_back: Vec<usize>,
}

/// The steps, and where resources are kept in the meantime.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In execution order.
    pub steps: Vec<Step>,
    /// Scratch range, the same in every process.
    pub scratch: RemoteAddr,
    /// Special mappings at their temporary addresses.
    pub relocated: Vec<SpecialMapping>,
    /// Descriptor of the context file.
    pub context_slot: i32,
    /// Descriptors of open file descriptions, by index.
    pub file_slots: Vec<i32>,
    /// One past the last descriptor in use.
    pub end_slot: i32,
}

/// Makes the plan.
///
/// # Errors
/// The reason why there can be no plan.
pub fn plan(records: &Records, host: &Host) -> Result<Plan, String> {
    let subreapers: BTreeSet<i32> =
        records.alive().filter(|(_, a)| a.subreaper).map(|(p, _)| p.pid).collect();
    // Where ids are allocated in ascending order, a timer is created and deleted for every lower
    // id.
    const MOST_TIMER_IDS: i32 = 1 << 16;
    let highest =
        records.alive().flat_map(|(_, alive)| alive.posix_timers.iter().map(|timer| timer.id)).max();
    if !host.timer_ids_by_wish && highest.is_some_and(|id| id > MOST_TIMER_IDS) {
        return Err(
            "the id of a POSIX timer is too high for this kernel to allocate in reasonable time (before Linux 6.15)"
                .into(),
        );
    }
    let numbers = records.inodes.iter().flat_map(|inode| inode.kind.verbs().numbers());
    let highest_number = numbers.max().unwrap_or(-1);
    let creation = creation_order(&records.processes, &subreapers, host.stand_in)?;
    let tables = || records.alive().map(|(_, alive)| alive.fds.as_slice());
    let mut slots = Slots::new(tables(), host.first_slot);
    let mut file_slots = slots.of_files(records.files.len(), tables());
    let is_late = |file: &OpenFile| records.inodes[file.inode].kind.verbs().refers_to_task();
    let is_terminal =
        |file: &OpenFile| !file.is_path() && records.inodes[file.inode].kind.verbs().session().is_some();
    let is_placed = |file: &OpenFile| matches!(records.inodes[file.inode].kind, Kind::IoUring(_));
    let opened_late: BTreeSet<usize> =
        (0..records.files.len()).filter(|index| is_late(&records.files[*index])).collect();
    let channel = (!opened_late.is_empty()).then(|| slots.free());
    if let Some(slot) = channel {
        opened_late.iter().for_each(|file| file_slots[*file] = slot);
    }
    let context_slot = slots.free();
    let object_slots: Vec<i32> = records.shared.iter().map(|_| slots.free()).collect();
    let spare_slot = slots.free();
    // The engine itself has each until it has been sent to everybody.
    for _ in &opened_late {
        slots.free();
    }
    let relocated_size: u64 = host.special.iter().map(|mapping| mapping.len).sum();
    let free_range = find_free_range(records, host, SCRATCH_SIZE + relocated_size)?;
    let mut at = free_range + SCRATCH_SIZE;
    let relocated: Vec<_> = host
        .special
        .iter()
        .map(|mapping| {
            at += mapping.len;
            SpecialMapping { start: at - mapping.len, ..mapping.clone() }
        })
        .collect();
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    records.processes.iter().for_each(|p| children.entry(p.ppid).or_default().push(p));
    let mut planner = Planner {
        records,
        host,
        children,
        free_range: free_range..at,
        relocated: relocated.clone(),
        file_slots: file_slots.clone(),
        object_slots,
        context_slot,
        spare_slot,
        opened_late,
        placed: (0..records.files.len()).filter(|file| is_placed(&records.files[*file])).collect(),
        terminals: (0..records.files.len()).filter(|file| is_terminal(&records.files[*file])).collect(),
        late: late_programs(records)?,
        last_of_table: records.alive().map(|(p, alive)| (alive.files_of.unwrap_or(p.pid), p.pid)).collect(),
        steps: Vec::new(),
    };
    planner.begin(Phase::OpenFiles);
    planner.steps.extend(channel.map(|slot| Step::MakeChannel { slot }));
    planner.open_everything()?;
    planner.begin(Phase::CreateProcesses);
    planner.create_processes(&creation);
    planner.set_foregrounds();
    planner.end_zombies();
    planner.begin(Phase::RestoreMmAndFds);
    for (process, alive) in records.alive() {
        planner.restore_mm_and_fds(process, alive);
    }
    let segments = records.shared.iter().enumerate().filter(|(_, object)| object.segment.is_some());
    planner.steps.extend(segments.map(|(object, _)| Step::FinishShared { object }));
    planner.begin(Phase::MoveDescriptors);
    planner.open_late();
    planner.begin(Phase::RestoreAttributes);
    for (process, alive) in records.alive() {
        if let State::Stopped { signal, .. } = alive.state {
            planner.steps.push(Step::Stop { pid: process.pid, signal });
        }
        if alive.continued {
            let pid = process.pid;
            planner.steps.extend([Step::Stop { pid, signal: libc::SIGSTOP }, Step::Continue { pid }]);
        }
    }
    if records.inodes.iter().any(|inode| inode.unlinked.is_some()) {
        planner.steps.push(Step::ResetTimes);
    }
    if records.files.iter().any(|f| f.owner.is_some()) {
        planner.steps.push(Step::SetOwners);
    }
    for (process, alive) in records.alive() {
        planner.restore_attributes(process, alive);
    }
    planner.begin(Phase::ArmTimers);
    for (process, alive) in records.alive() {
        planner.arm_timers(process, alive);
    }
    planner.begin(Phase::Finalize);
    planner.steps.extend(records.alive().map(|(p, _)| Step::Finalize { pid: p.pid }));
    // No process has run yet, and no remaining step is likely to fail.
    planner.steps.extend((0..records.sysv.len()).map(|object| Step::FillSysv { object }));
    planner.steps.extend(host.cut_back.iter().map(|inode| Step::CutBack { inode: *inode }));
    planner.begin(Phase::Release);
    planner.steps.push(Step::Release);
    Ok(Plan {
        steps: planner.steps,
        scratch: RemoteAddr(free_range),
        relocated,
        context_slot,
        file_slots,
        end_slot: slots.end().max(highest_number + 1),
    })
}

/// The start of `size` bytes that are free in all address spaces involved: the middle of the
/// largest gap.
fn find_free_range(records: &Records, host: &Host, size: u64) -> Result<u64, String> {
    const ALIGN: u64 = 1 << 21;
    const LOWEST: u64 = 1 << 32;
    let mut busy: Vec<(u64, u64)> = host.busy.iter().map(|r| (r.start, r.end)).collect();
    busy.extend(records.alive().flat_map(|(_, a)| a.memory.vmas.iter().map(|v| (v.start, v.end))));
    let attached = records.alive().flat_map(|(_, alive)| alive.memory.attachments(&records.shared));
    busy.extend(attached.map(|attachment| (attachment.whole.start, attachment.whole.end)));
    // Some architectures have higher addresses, at the cost of deeper page tables for every
    // process.
    const HIGHEST: u64 = 1 << 47;
    busy.push((host.task_size.min(HIGHEST), u64::MAX));
    busy.sort_unstable();
    let (mut best, mut end) = ((0, 0), LOWEST);
    for (start, stop) in busy {
        if start > end && start - end > best.1 - best.0 {
            best = (end, start);
        }
        end = end.max(stop);
    }
    if best.1 - best.0 < size + 4 * ALIGN {
        return Err(format!("no range of {size} bytes is free in the address space of every process"));
    }
    Ok(best.0.midpoint(best.1) / ALIGN * ALIGN)
}

/// *late* of every open file description, in the order in which processes have them.
fn late_programs(records: &Records) -> Result<Programs, String> {
    let mut order = Vec::new();
    let mut holders = Vec::new();
    // The last process that has each file.
    let mut last: Vec<Option<i32>> = vec![None; records.files.len()];
    for (process, alive) in records.alive() {
        let table = records.table_of(alive);
        for fd in table.iter().filter(|fd| !records.files[fd.file].is_path()) {
            match last[fd.file].replace(process.pid) {
                Some(pid) if pid == process.pid => continue,
                Some(_) => {}
                None => order.push(fd.file),
            }
            holders.push(Holder { pid: process.pid, fd, table });
        }
    }
    let job = Restored { records, holders: Holders::new(holders) };
    let mut programs = Programs::default();
    for file in order {
        job.verbs(file).late(file, &job, &mut programs)?;
        let OpenFile { locks, owner, .. } = &records.files[file];
        locks.iter().try_for_each(|lock| {
            lock.retake(owner.map(|owner| owner.id), job.holders.of(file), &mut programs)
        })?;
    }
    Ok(programs)
}

struct Planner<'a> {
    records: &'a Records,
    host: &'a Host,
    /// Child processes by PID of the parent.
    children: HashMap<i32, Vec<&'a Process>>,
    /// Scratch range and relocated special mappings.
    free_range: Range,
    relocated: Vec<SpecialMapping>,
    file_slots: Vec<i32>,
    object_slots: Vec<i32>,
    context_slot: i32,
    spare_slot: i32,
    /// Open file descriptions that are opened when all tasks are there, in order.
    opened_late: BTreeSet<usize>,
    /// Indices of the files that the kernel places when they are mapped.
    placed: HashSet<usize>,
    /// Descriptions of controlling terminals of sessions in the job.
    terminals: Vec<usize>,
    /// What processes do late for their open files.
    late: Programs,
    /// The last process that has each descriptor table, by PID of the first.
    last_of_table: HashMap<i32, i32>,
    steps: Vec<Step>,
}

const CLONE_PTRACE: u64 = libc::CLONE_PTRACE as u64;
/// The clone flags of pthread_create, except those that the records restore.
const THREAD_FLAGS: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM) as u64;

/// clone3(2) with a given tid; the new task has the same tracer.
fn clone_call(tid: i32, flags: u64, exit_signal: i32, program: &mut Program, what: String) {
    let args = CloneArgs {
        flags: flags | CLONE_PTRACE,
        exit_signal: exit_signal as u64,
        set_tid_size: 1,
        ..CloneArgs::default()
    };
    let wish = program.bytes(tid.to_ne_bytes());
    let data = program.bytes(args.to_bytes());
    const SET_TID: u64 = 64;
    program.pointer_to(data, SET_TID, wish, 0);
    program.call_returning(libc::SYS_clone3, &[data.into(), CLONE_ARGS_SIZE.into()], tid as u64, what);
}

impl Planner<'_> {
    fn begin(&mut self, phase: Phase) {
        self.steps.push(Step::Begin(phase));
    }

    fn run(&mut self, pid: i32, tid: i32, what: &'static str, program: Program, new_tasks: Vec<NewTask>) {
        if !program.is_empty() {
            self.steps.push(Step::Run { pid, tid, what, program: Box::new(program), new_tasks });
        }
    }

    /// The engine's own steps: objects and open file descriptions, in order of their dependencies.
    fn open_everything(&mut self) -> Result<(), String> {
        let inodes = &self.records.inodes;
        let mut graph = Graph::default();
        for (object, slot) in self.object_slots.iter().enumerate() {
            graph.add(Step::MakeShared { object, slot: *slot });
        }
        for object in 0..self.records.sysv.len() {
            graph.add(Step::MakeSysv { object });
        }
        let is_directory = |inode: &Inode| inode.unlinked.is_some() && inode.kind == Kind::Directory;
        let directories = (0..inodes.len()).filter(|index| is_directory(&inodes[*index]));
        let directories: Vec<(usize, Node)> =
            directories.map(|inode| (inode, graph.add(Step::MakeInode { inode }))).collect();
        let mut names_are_gone = None;
        if !directories.is_empty() {
            // Not earlier: nothing can be created in an unlinked directory.
            let removed = graph.add(Step::RemoveDirectories);
            directories.iter().for_each(|(_, made)| graph.order(*made, removed));
            names_are_gone = Some(removed);
        }
        let by_path: HashMap<&Path, Node> =
            directories.iter().map(|(inode, made)| (inodes[*inode].path.as_path(), *made)).collect();
        for (inode, later) in &directories {
            let around = inodes[*inode].path.as_path().ancestors().skip(1);
            around.filter_map(|dir| by_path.get(dir)).for_each(|earlier| graph.order(*earlier, *later));
        }
        let made: HashMap<usize, Node> = directories.into_iter().collect();
        let mut files: Vec<Vec<usize>> = vec![Vec::new(); inodes.len()];
        let (mut firsts, mut by_file) = (Vec::new(), vec![None; self.records.files.len()]);
        let early =
            self.records.files.iter().enumerate().filter(|(index, _)| !self.opened_late.contains(index));
        early.for_each(|(index, file)| files[file.inode].push(index));
        // One inode after the other, so that the engine holds the ends of only one pipe at a time.
        for (inode, files) in files.into_iter().enumerate() {
            if files.is_empty() {
                continue;
            }
            let record = &inodes[inode];
            let is_made = record.unlinked.is_some() || record.kind.verbs().is_made();
            let make = made.get(&inode).copied().or_else(|| {
                let make = is_made.then(|| graph.add(Step::MakeInode { inode }))?;
                names_are_gone.iter().for_each(|gone| graph.order(*gone, make));
                Some(make)
            });
            let mut opened = Vec::new();
            let first = record.kind.verbs().opened_after();
            firsts.extend(first.and_then(|first| Some((first, make?))));
            for file in files {
                let open = graph.add(Step::Open { file, slot: self.file_slots[file] });
                by_file[file] = Some(open);
                make.iter().chain(&names_are_gone).for_each(|earlier| graph.order(*earlier, open));
                opened.push(open);
            }
            if is_made {
                let finish = graph.add(Step::FinishInode { inode });
                opened.iter().chain(&make).for_each(|earlier| graph.order(*earlier, finish));
            }
        }
        for (first, make) in firsts {
            by_file[first].iter().for_each(|earlier| graph.order(*earlier, make));
        }
        let stuck = |step: Step| format!("waits for itself: {}", step.describe(self.records));
        self.steps.extend(graph.sorted().map_err(stuck)?);
        self.steps.extend(self.records.joins().then_some(Step::Join(JoinStage::Connect)));
        Ok(())
    }

    /// Opens what refers to tasks and moves it into the processes that have it.
    fn open_late(&mut self) {
        self.steps.extend(self.opened_late.iter().map(|file| Step::OpenLate { file: *file }));
        for (process, alive) in self.records.alive() {
            let fds: Vec<&Fd> = alive.fds.iter().filter(|fd| self.opened_late.contains(&fd.file)).collect();
            for fds in fds.chunks(table::MOST_AT_ONCE) {
                let mut program = Program::new();
                table::receive(fds, &mut program);
                let files = fds.iter().map(|fd| fd.file).collect();
                self.steps.push(Step::Move { pid: process.pid, files, program: Box::new(program) });
            }
        }
        if self.records.joins() {
            self.steps.extend(JoinStage::LATE.map(Step::Join));
        }
    }

    fn create_processes(&mut self, creation: &[CreationStep]) {
        for step in creation {
            match *step {
                CreationStep::Create { parent, pid, exit_signal, common } => {
                    self.create(parent, pid, exit_signal, common)
                }
                CreationStep::CreateSibling { sibling, pid, common } => {
                    // The exit signal is that of the sibling (kernel/fork.c, `copy_process`), and
                    // may not be given (`clone3_args_valid`).
                    let flags = libc::CLONE_PARENT as u64 | common.clone_flags();
                    let what = format!("create process {pid} beside it{}", common.describe());
                    self.clone_process(sibling, pid, flags, 0, what);
                }
                // No exit signal: the original parent never had this child.
                CreationStep::CreateHelper { parent, pid } => {
                    self.create(parent, pid, 0, Common::default());
                }
                CreationStep::Setsid(pid) => {
                    let mut program = Program::new();
                    program.call_returning(libc::SYS_setsid, &[], pid as u64, "begin session");
                    for (kind, slot) in self.terminals().filter(|(kind, _)| kind.session() == Some(pid)) {
                        kind.claim(slot, &mut program);
                    }
                    self.run(pid, pid, "session", program, Vec::new());
                }
                CreationStep::Setpgid { pid, pgid } => {
                    let mut program = Program::new();
                    program.call_ok(
                        libc::SYS_setpgid,
                        &[Arg::Imm(0), pgid.into()],
                        format!("join process group {pgid}"),
                    );
                    self.run(pid, pid, "group", program, Vec::new());
                }
                CreationStep::BecomeSubreaper(pid) => {
                    let mut program = Program::new();
                    let args = [libc::PR_SET_CHILD_SUBREAPER.into(), Arg::Imm(1)];
                    program.call_ok(libc::SYS_prctl, &args, "become subreaper");
                    self.run(pid, pid, "subreaper", program, Vec::new());
                }
                CreationStep::Leave { pid, parent } => {
                    self.steps.push(Step::End { pid, program: Box::default(), status: 0, undumpable: false });
                    match parent {
                        Parent::Engine => self.steps.push(Step::Reap { pid }),
                        Parent::Process(parent) => {
                            let mut program = Program::new();
                            let args = [pid.into(), Arg::Imm(0), libc::__WALL.into(), Arg::Imm(0)];
                            program.call_returning(
                                libc::SYS_wait4,
                                &args,
                                pid as u64,
                                format!("wait for helper {pid}"),
                            );
                            self.run(parent, parent, "helper", program, Vec::new());
                        }
                    }
                }
            }
        }
    }

    /// The controlling terminals of sessions, with the descriptors of them.
    fn terminals(&self) -> impl Iterator<Item = (&dyn Verbs, i32)> {
        self.terminals.iter().map(|file| {
            let inode = self.records.files[*file].inode;
            (self.records.inodes[inode].kind.verbs(), self.file_slots[*file])
        })
    }

    /// Every process is in its group: sets which is in the foreground of each terminal.
    fn set_foregrounds(&mut self) {
        let mut programs = Vec::new();
        for (kind, slot) in self.terminals() {
            let mut program = Program::new();
            kind.set_foreground(slot, &mut program);
            programs.extend(kind.session().map(|leader| (leader, program)));
        }
        for (leader, program) in programs {
            self.run(leader, leader, "foreground", program, Vec::new());
        }
    }

    fn create(&mut self, parent: Parent, pid: i32, exit_signal: i32, common: Common) {
        match parent {
            Parent::Engine => {
                self.steps.push(Step::Create { pid, exit_signal });
                let program = self.strip_engine_state();
                self.run(pid, pid, "strip engine state", program, Vec::new());
            }
            Parent::Process(parent) => {
                let what = format!("create process {pid}{}", common.describe());
                self.clone_process(parent, pid, common.clone_flags(), exit_signal, what);
            }
        }
    }

    fn clone_process(&mut self, creator: i32, pid: i32, flags: u64, exit_signal: i32, what: String) {
        let mut program = Program::new();
        clone_call(pid, flags, exit_signal, &mut program, what);
        self.run(creator, creator, "create", program, vec![NewTask { pid, tid: pid }]);
    }

    /// Strips what a fork inherits from the engine: memory, signal actions, alternate stack,
    /// parent-death signal.
    fn strip_engine_state(&self) -> Program {
        let mut program = Program::new();
        program.call_ok(
            libc::SYS_prctl,
            &[libc::PR_SET_PDEATHSIG.into(), Arg::Imm(0)],
            "clear parent-death signal",
        );
        signal::reset_actions(&mut program);
        signal::disable_altstack(&mut program);
        for (mapping, relocated) in self.host.special.iter().zip(&self.relocated) {
            mapping.relocate(relocated.start, &mut program);
        }
        let end = self.host.task_size;
        program.call_ok(
            libc::SYS_munmap,
            &[Arg::Imm(0), self.free_range.start.into()],
            "unmap the engine's memory",
        );
        let above = [self.free_range.end.into(), (end - self.free_range.end).into()];
        program.call_ok(libc::SYS_munmap, &above, "unmap the engine's memory");
        program
    }

    fn end_zombies(&mut self) {
        for process in &self.records.processes {
            if let Life::Zombie(zombie) = &process.life {
                let mut program = Program::new();
                zombie.rebuild_name(&mut program);
                let status = &zombie.status;
                let dumps = libc::WIFSIGNALED(*status) && signal::DUMPING.contains(&libc::WTERMSIG(*status));
                let limit = self.host.coreless.filter(|_| dumps);
                if let Some(limit) = limit {
                    process::set_limit(libc::RLIMIT_CORE as usize, limit, &mut program);
                }
                let undumpable = dumps && limit.is_none();
                self.steps.push(Step::End {
                    pid: process.pid,
                    program: Box::new(program),
                    status: *status,
                    undumpable,
                });
            }
        }
    }

    /// Restores directories, memory, descriptors and threads.
    fn restore_mm_and_fds(&mut self, process: &Process, alive: &Alive) {
        let pid = process.pid;
        let mut program = Program::new();
        // Once for all that share it.
        if alive.fs_of.is_none() {
            alive.rebuild_fs(&self.file_slots, &mut program);
        }
        let sources = MemorySources {
            file_slots: &self.file_slots,
            objects: &self.records.shared,
            object_slots: &self.object_slots,
            context: self.context_slot,
            relocated: &self.relocated,
            mapped: self.free_range.clone(),
            window: self.host.task_size.min(arch::MAP_WINDOW),
            placed: &self.placed,
        };
        if alive.memory_of.is_none() {
            alive.memory.rebuild(&sources, &mut program);
        }
        // When the last that shares the table has mapped its files: it closes them.
        let owner = alive.files_of.unwrap_or(pid);
        if self.last_of_table[&owner] == pid {
            let fds = self.records.table_of(alive);
            table::rebuild_table(fds, &self.file_slots, self.spare_slot, &mut program);
        }
        self.run(pid, pid, "memory and descriptors", program, Vec::new());
        let mut program = Program::new();
        alive.rebuild_personality(&mut program);
        let common = seccomp::common(&alive.threads);
        seccomp::rebuild_common(&alive.filters, &alive.threads[0], common, &mut program);
        let mut new_tasks = Vec::new();
        for thread in alive.threads.iter().filter(|thread| thread.tid != pid) {
            let what = format!("create thread {}", thread.tid);
            clone_call(thread.tid, THREAD_FLAGS, 0, &mut program, what);
            new_tasks.push(NewTask { pid, tid: thread.tid });
        }
        self.run(pid, pid, "threads", program, new_tasks);
    }

    /// Restores thread registrations, pending signals, attributes and credentials. Nothing after
    /// this needs privileges.
    fn restore_attributes(&mut self, process: &Process, alive: &Alive) {
        let pid = process.pid;
        let mut program = Program::new();
        // Drop the signals just sent for zombies and stopped children: the parent had them before.
        let children = self.children.get(&pid).into_iter().flatten();
        let ended = children.clone().filter(|child| matches!(child.life, Life::Zombie(_)));
        signal::drain_of_children(ended.map(|child| child.exit_signal), &mut program);
        for child in children {
            if let Life::Alive(alive) = &child.life
                && matches!(alive.state, State::Stopped { reported: true, .. })
            {
                process::take_report(child.pid, &mut program);
            }
        }
        if alive.actions_of.is_none() {
            signal::rebuild_actions(&alive.actions, &mut program);
        }
        signal::rebuild_pending(&alive.pending, pid, None, &mut program);
        timer::rebuild_posix(&alive.posix_timers, self.host.timer_ids_by_wish, &mut program);
        self.run(pid, pid, "signals and timers", program, Vec::new());
        for thread in &alive.threads {
            let mut program = Program::new();
            signal::rebuild_pending(&thread.pending, pid, Some(thread.tid), &mut program);
            self.run(pid, thread.tid, "pending signals", program, Vec::new());
        }
        let program = std::mem::take(self.late.of(pid));
        self.run(pid, pid, "open files", program, Vec::new());
        // Last: the limit of queued signals may be below the number pending.
        let mut program = Program::new();
        alive.rebuild_attributes(&self.host.rlimits, &mut program);
        self.run(pid, pid, "attributes", program, Vec::new());
        let common = seccomp::common(&alive.threads);
        for thread in &alive.threads {
            self.restore_thread_attributes(pid, alive, thread, common);
        }
        if let Some(leader) = &alive.leader {
            self.end_leader(pid, leader, &alive.threads[0]);
        }
    }

    /// Lets a leader exit that had: before the settings of its children are restored, one of which
    /// is a signal that the exit of their parent sends them (kernel/exit.c, `reparent_leader`,
    /// `PR_SET_PDEATHSIG`).
    fn end_leader(&mut self, pid: i32, leader: &Zombie, first: &Thread) {
        let mut program = Program::new();
        leader.rebuild_name(&mut program);
        let creds = Creds { pdeathsig: 0, ..first.creds.clone() };
        creds.rebuild(&self.host.creds, &mut program);
        self.steps.push(Step::EndLeader { pid, program: Box::new(program), status: leader.status });
    }

    fn restore_thread_attributes(&mut self, pid: i32, alive: &Alive, thread: &Thread, common: usize) {
        let mut program = Program::new();
        seccomp::rebuild(&alive.filters, thread, common, &mut program);
        thread.rebuild(&self.host.creds, self.host.policies, &mut program);
        if let Some(rseq) = &thread.rseq {
            rseq.rebuild(&mut program);
        }
        self.run(pid, thread.tid, "thread", program, Vec::new());
    }

    /// Restores what must come last: timers, and what a change of credentials would reset.
    fn arm_timers(&mut self, process: &Process, alive: &Alive) {
        let mut program = Program::new();
        if alive.memory_of.is_none() {
            alive.rebuild_dumpable(&mut program);
            alive.memory.rebuild_future(&mut program);
        }
        alive.interval_timers.rebuild(&mut program);
        timer::arm_posix(&alive.posix_timers, &mut program);
        self.run(process.pid, alive.threads[0].tid, "timers", program, Vec::new());
    }
}

impl Plan {
    /// One line per step, with the names of objects taken from `records`.
    pub fn describe(&self, records: &Records) -> String {
        self.steps.iter().map(|step| step.describe(records) + "\n").collect()
    }
}

/// A special mapping in the records that this kernel lacks or has in another size.
pub fn special_mismatch(records: &Records, host: &Host) -> Option<String> {
    for (process, alive) in records.alive() {
        for vma in &alive.memory.vmas {
            if let Backing::Special { name } = &vma.backing
                && !host.special.iter().any(|here| here.name == *name && here.len == vma.len())
            {
                return Some(format!(
                    "pid {}: its {name} of {} bytes is not that of the running kernel",
                    process.pid,
                    vma.len()
                ));
            }
        }
    }
    None
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
