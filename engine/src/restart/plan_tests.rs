//! The plan of a small job, and properties of every plan.

use super::*;
use crate::arch::Regs;
use crate::image::Extent;
use crate::resource::bytes::{Bytes, PathBytes};
use crate::resource::fd::Kind;
use crate::resource::fd::description::OpenFile;
use crate::resource::fd::pidfd::Pidfd;
use crate::resource::fd::pipe::Pipe;
use crate::resource::fd::table::Fd;
use crate::resource::fd::unlinked::Unlinked;
use crate::resource::mm::Memory;
use crate::resource::mm::marks::Marks;
use crate::resource::mm::vma::{Vma, VmaFlag};
use crate::resource::signal::Pending;
use crate::resource::timer::IntervalTimers;
use crate::resource::validate;
use ciborium::Value;
use proptest::prelude::*;
use std::collections::HashSet;

fn host() -> Host {
    Host {
        special: vec![SpecialMapping { name: "[vdso]".into(), start: 0x7fff_0000_0000, len: 0x2000 }],
        busy: vec![0x5555_0000_0000..0x5555_0010_0000, 0x7fff_0000_0000..0x7fff_0000_2000],
        task_size: crate::sys::task_size(),
        creds: Creds::default(),
        rlimits: vec![(1024, 4096)],
        coreless: Some((1, 4096)),
        timer_ids_by_wish: true,
        policies: true,
        first_slot: 100,
        stand_in: None,
        cut_back: vec![],
    }
}

fn vma(start: u64, pages: u64, backing: Backing) -> Vma {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    Vma {
        start,
        end: start + pages * 4096,
        prot,
        backing,
        flags: vec![],
        guards: vec![],
        pkey: 0,
        policy: None,
    }
}

fn thread(tid: i32) -> Thread {
    Thread {
        tid,
        comm: PathBytes(b"job".to_vec()),
        regs: Regs::default(),
        extended: vec![],
        sigmask: 0,
        altstack: None,
        pending: vec![],
        robust_list: (0, 0),
        clear_child_tid: 0,
        rseq: None,
        sleep: None,
        timer_slack: 50_000,
        controls: Default::default(),
        policy: None,
        io_flusher: false,
        seccomp: None,
        creds: Creds::default(),
        sched: Default::default(),
        ioprio: 0,
        affinity: Bytes(vec![3]),
        cgroups: None,
    }
}

fn alive(tids: &[i32]) -> Alive {
    Alive {
        state: State::Running,
        continued: false,
        leader: None,
        threads: tids.iter().map(|tid| thread(*tid)).collect(),
        filters: Vec::new(),
        memory: Memory {
            vmas: vec![
                vma(0x10_0000, 4, Backing::Anonymous { name: None }),
                vma(0x7fff_0000_0000, 2, Backing::Special { name: "[vdso]".into() }),
            ],
            pages: vec![Extent { start: 0x10_0000, len: 0x2000, offset: 0x1000 }],
            marks: Marks::default(),
            auxv: Bytes(vec![0; 16]),
            exe: 0,
            vdso: None,
            lock_future: None,
            thp_disable: 0,
            dumpable: 1,
            pkeys: 0,
            membarrier: Default::default(),
            deny_write_execute: 0,
            merge: false,
            tags: Vec::new(),
        },
        fds: vec![],
        files_of: None,
        memory_of: None,
        actions_of: None,
        cwd: 1,
        root: None,
        umask: 0o22,
        fs_of: None,
        actions: vec![],
        pending: vec![],
        interval_timers: IntervalTimers::default(),
        posix_timers: vec![],
        rlimits: vec![(512, 4096)],
        personality: 0,
        subreaper: false,
        oom_score_adj: 0,
        session_nice: 0,
        coredump_filter: 0x33,
        cgroups: vec![],
        label: None,
    }
}

fn process(pid: i32, ppid: i32, life: Life) -> Process {
    Process { pid, ppid, pgid: 70, sid: 70, exit_signal: libc::SIGCHLD, life }
}

fn inode(path: &str, kind: Kind) -> Inode {
    Inode { path: PathBytes(path.into()), kind, identity: None, unlinked: None }
}

fn file(inode: usize, flags: i32) -> OpenFile {
    OpenFile { inode, flags, offset: 0, owner: None, locks: Vec::new() }
}

/// A leader with two threads, a stopped child and a zombie, a pipe between them, an unlinked file.
fn job() -> Records {
    let mut parent = alive(&[70, 71]);
    parent.fds = vec![Fd { fd: 0, file: 2, cloexec: false }, Fd { fd: 5, file: 4, cloexec: true }];
    parent.pending = vec![Pending { signal: libc::SIGUSR1, siginfo: Bytes(vec![10]) }];
    parent.memory.vmas[0].flags = vec![VmaFlag::DontDump];
    let mut child = alive(&[72]);
    child.state = State::Stopped { signal: libc::SIGSTOP, reported: true };
    child.fds = vec![Fd { fd: 1, file: 3, cloexec: false }];
    let zombie = Zombie { status: 7 << 8, comm: PathBytes(b"late".to_vec()) };
    let unlinked = Unlinked {
        mode: 0o600,
        owner: (0, 0),
        times: (0, 0),
        size: 3,
        content: vec![],
        xattrs: vec![],
        flags: 0,
    };
    Records {
        host: String::new(),
        root: 70,
        clocks: None,
        processes: vec![
            process(70, 0, Life::Alive(Box::new(parent))),
            process(72, 70, Life::Alive(Box::new(child))),
            process(73, 70, Life::Zombie(zombie)),
        ],
        files: vec![
            file(0, libc::O_RDONLY),
            file(1, libc::O_PATH),
            file(2, libc::O_RDONLY),
            file(2, libc::O_WRONLY),
            file(3, libc::O_RDWR),
        ],
        inodes: vec![
            inode("/bin/job", Kind::Regular),
            inode("/srv", Kind::Directory),
            inode("", Kind::Pipe(Pipe { capacity: 65536, ..Pipe::default() })),
            Inode { unlinked: Some(unlinked), ..inode("/srv/scratch", Kind::Regular) },
        ],
        sysv: vec![],
        cgroups: vec![],
        shared: vec![],
    }
}

#[test]
fn a_small_job() {
    // The 62 lines that reset the engine's signal actions are the same for every process.
    let plan = plan(&job(), &host()).unwrap().describe(&job());
    let lines: Vec<&str> = plan.lines().filter(|line| !line.contains("reset action")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn everybody_is_born_before_it_does_anything_and_released_at_the_end() {
    let plan = plan(&job(), &host()).unwrap();
    let mut created = HashSet::new();
    for step in &plan.steps {
        match step {
            Step::Create { pid, .. } => assert!(created.insert(*pid)),
            Step::Run { tid, new_tasks, .. } => {
                assert!(created.contains(tid), "{step:?}");
                assert!(new_tasks.iter().all(|n| created.insert(n.tid)), "{step:?}");
            }
            Step::End { pid, .. } | Step::Stop { pid, .. } | Step::Finalize { pid } => {
                assert!(created.contains(pid))
            }
            _ => {}
        }
    }
    assert_eq!(created, HashSet::from([70, 71, 72, 73]));
    assert_eq!(plan.steps.last(), Some(&Step::Release));
}

/// A living process, with the first that has its descriptor table and its directories.
fn sharing(pid: i32, ppid: i32, files_of: Option<i32>, fs_of: Option<i32>) -> Process {
    process(pid, ppid, Life::Alive(Box::new(Alive { files_of, fs_of, ..alive(&[pid]) })))
}

#[test]
fn who_shares_is_created_by_a_parent_or_a_sibling_that_does() {
    let processes = [
        sharing(70, 0, None, None),
        sharing(71, 70, Some(70), None),
        sharing(72, 71, Some(70), Some(71)),
        sharing(73, 70, None, None),
        sharing(74, 70, Some(73), Some(73)),
        sharing(75, 74, Some(73), None),
    ];
    let steps = creation_order(&processes, &BTreeSet::new(), None).unwrap();
    let created = steps.iter().filter_map(|step| match *step {
        CreationStep::Create { parent: Parent::Process(by), pid, common, .. } => {
            Some((by, pid, false, common))
        }
        CreationStep::CreateSibling { sibling, pid, common } => Some((sibling, pid, true, common)),
        _ => None,
    });
    let common = |files, fs| Common { files, fs, ..Common::default() };
    assert_eq!(
        created.collect::<Vec<_>>(),
        [
            (70, 71, false, common(true, false)),
            (71, 72, false, common(true, true)),
            (70, 73, false, common(false, false)),
            (73, 74, true, common(true, true)),
            (74, 75, false, common(true, false)),
        ]
    );
}

#[test]
fn what_no_process_could_pass_on_is_refused() {
    let of_a_grandparent =
        [sharing(70, 0, None, None), sharing(71, 70, None, None), sharing(72, 71, Some(70), None)];
    let of_two_processes =
        [sharing(70, 0, None, None), sharing(71, 70, None, None), sharing(72, 70, Some(71), Some(70))];
    let other_signal = Process { exit_signal: 0, ..sharing(72, 70, Some(71), None) };
    let of_a_sibling_with_another_exit_signal =
        [sharing(70, 0, None, None), sharing(71, 70, None, None), other_signal];
    for processes in [of_a_grandparent, of_two_processes, of_a_sibling_with_another_exit_signal] {
        let err = creation_order(&processes, &BTreeSet::new(), None).unwrap_err();
        assert!(err.starts_with("pid 72: shares its descriptor table with pid 7"), "{err}");
    }
    let mut of_a_grandparent =
        [sharing(70, 0, None, None), sharing(71, 70, None, None), sharing(72, 71, None, None)];
    for (memory_of, actions_of, what) in [(Some(70), None, "memory"), (None, Some(70), "signal actions")] {
        let Life::Alive(last) = &mut of_a_grandparent[2].life else { unreachable!("it is alive") };
        (last.memory_of, last.actions_of) = (memory_of, actions_of);
        let err = creation_order(&of_a_grandparent, &BTreeSet::new(), None).unwrap_err();
        assert!(err.starts_with(&format!("pid 72: shares its {what} with pid 70")), "{err}");
    }
}

#[test]
fn a_table_of_two_is_arranged_once_and_after_both_have_mapped_their_files() {
    let mut records = with_pidfds(1);
    let Life::Alive(child) = &mut records.processes[1].life else { unreachable!("it is alive") };
    (child.files_of, child.fds, child.fs_of) = (Some(70), vec![], Some(70));
    let bounds = validate::Bounds { page: 4096, task_size: host().task_size, data: 0..1 << 20 };
    validate::check(&records, &bounds).unwrap();
    let plan = plan(&records, &host()).unwrap();
    let calls = |pid: i32| -> Vec<&str> {
        let of_pid = plan.steps.iter().filter_map(|step| match step {
            Step::Run { tid, program, what: "memory and descriptors", .. } if *tid == pid => Some(program),
            _ => None,
        });
        of_pid.flat_map(|program| program.calls()).map(|call| call.what.as_str()).collect()
    };
    let (first, last) = (calls(70), calls(72));
    let places = |calls: &[&str]| calls.iter().any(|call| call.starts_with("place fd"));
    assert!(!places(&first) && places(&last), "{first:?} {last:?}");
    let moves = |calls: &[&str]| calls.contains(&"change working directory");
    assert!(moves(&first) && !moves(&last), "{first:?} {last:?}");
    let moved: Vec<i32> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Move { pid, .. } => Some(*pid),
            _ => None,
        })
        .collect();
    assert_eq!(moved, [70]);
    let Life::Alive(child) = &mut records.processes[1].life else { unreachable!("it is alive") };
    child.files_of = Some(73);
    let err = validate::check(&records, &bounds).unwrap_err();
    assert_eq!(err, "pid 72: invalid process that has its descriptor table, too");
}

#[test]
fn a_memory_of_two_is_restored_once() {
    let mut records = job();
    let Life::Alive(child) = &mut records.processes[1].life else { unreachable!("it is alive") };
    child.memory.vmas.clear();
    child.memory.pages.clear();
    (child.memory_of, child.actions_of) = (Some(70), Some(70));
    let bounds = validate::Bounds { page: 4096, task_size: host().task_size, data: 0..1 << 20 };
    validate::check(&records, &bounds).unwrap();
    let plan = plan(&records, &host()).unwrap();
    let calls = |wanted: i32, purpose: &str| -> Vec<&str> {
        let of_task = plan.steps.iter().filter_map(|step| match step {
            Step::Run { tid, program, what, .. } if *tid == wanted && *what == purpose => Some(program),
            _ => None,
        });
        of_task.flat_map(|program| program.calls()).map(|call| call.what.as_str()).collect()
    };
    assert_eq!(
        calls(70, "create"),
        ["create process 72, sharing memory and signal actions", "create process 73"]
    );
    let restores = |pid: i32| calls(pid, "memory and descriptors").contains(&"read pages at 0x100000");
    assert!(restores(70) && !restores(72), "{plan:?}");
    let Life::Alive(child) = &mut records.processes[1].life else { unreachable!("it is alive") };
    child.memory_of = Some(73);
    let err = validate::check(&records, &bounds).unwrap_err();
    assert_eq!(err, "pid 72: invalid process that has its memory, too");
}

#[test]
fn a_leader_that_has_exited_exits_when_all_else_is_done_in_it() {
    let mut records = job();
    let Life::Alive(parent) = &mut records.processes[0].life else { unreachable!("it is alive") };
    let status = 7 << 8;
    parent.leader = Some(Zombie { status, comm: PathBytes(b"gone".to_vec()) });
    let bounds = validate::Bounds { page: 4096, task_size: host().task_size, data: 0..1 << 20 };
    let two = validate::check(&records, &bounds).unwrap_err();
    assert_eq!(two, "pid 70: the first thread is not the leader");
    let Life::Alive(parent) = &mut records.processes[0].life else { unreachable!("it is alive") };
    parent.threads.remove(0);
    validate::check(&records, &bounds).unwrap();
    let plan = plan(&records, &host()).unwrap();
    let exits =
        plan.steps.iter().position(|step| matches!(step, Step::EndLeader { pid: 70, status: 0x700, .. }));
    let exits = exits.expect("it exits");
    let creates = |step: &Step| matches!(step, Step::Run { new_tasks, .. } if new_tasks.iter().any(|new| new.tid == 71));
    assert!(plan.steps[..exits].iter().any(creates));
    let runs = |step: &Step| matches!(step, Step::Run { tid: 70, .. });
    assert!(!plan.steps[exits..].iter().any(runs), "{plan:?}");
    // No setting of a child is there yet that the exit could set off.
    let settles = |step: &Step| matches!(step, Step::Run { tid: 72, what: "thread", .. });
    assert!(plan.steps[exits..].iter().any(settles));
}

#[test]
fn every_open_file_has_a_slot_that_the_engine_does_not_use() {
    let records = job();
    let plan = plan(&records, &host()).unwrap();
    let slots: HashSet<i32> = plan.file_slots.iter().copied().chain([plan.context_slot]).collect();
    assert_eq!(slots.len(), records.files.len() + 1);
    assert!(slots.iter().all(|slot| (host().first_slot..plan.end_slot).contains(slot)));
}

/// The job, with `count` pidfds of its second thread in both processes.
fn with_pidfds(count: i32) -> Records {
    let mut records = job();
    for number in 0..count {
        records.inodes.push(inode("", Kind::Pidfd(Pidfd { id: 71, thread: true })));
        records.files.push(file(records.inodes.len() - 1, libc::O_RDWR));
        for process in &mut records.processes[..2] {
            if let Life::Alive(alive) = &mut process.life {
                alive.fds.push(Fd { fd: 10 + number, file: records.files.len() - 1, cloexec: true });
            }
        }
    }
    records
}

#[test]
fn what_refers_to_a_task_is_opened_when_that_is_there_and_moved() {
    let records = with_pidfds(2);
    let plan = plan(&records, &host()).unwrap();
    let place = |is: &dyn Fn(&Step) -> bool| plan.steps.iter().position(is).unwrap();
    let channel = place(&|step| matches!(step, Step::MakeChannel { .. }));
    let opened = place(&|step| matches!(step, Step::OpenLate { file: 5 }));
    let thread = place(
        &|step| matches!(step, Step::Run { new_tasks, .. } if new_tasks.iter().any(|task| task.tid == 71)),
    );
    let moved = place(&|step| matches!(step, Step::Move { pid: 72, .. }));
    assert!(channel < place(&|step| matches!(step, Step::Create { .. })));
    assert!(thread < opened && opened < moved);
    assert!(!plan.steps.iter().any(|step| matches!(step, Step::Open { file: 5 | 6, .. })));
    let Step::Move { files, program, .. } = &plan.steps[moved] else { unreachable!("it is one") };
    assert_eq!(files, &[5, 6]);
    let calls: Vec<&str> = program.calls().iter().map(|call| call.what.as_str()).collect();
    insta::assert_debug_snapshot!(calls, @r#"
    [
        "receive 2 descriptors",
        "place fd 10",
        "close where fd 10 arrived",
        "place fd 11",
        "close where fd 11 arrived",
    ]
    "#);
}

#[test]
fn no_message_carries_more_than_it_can() {
    let records = with_pidfds(table::MOST_AT_ONCE as i32 * 2 + 1);
    let plan = plan(&records, &host()).unwrap();
    let sizes = plan.steps.iter().filter_map(|step| match step {
        Step::Move { pid: 70, files, .. } => Some(files.len()),
        _ => None,
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [table::MOST_AT_ONCE, table::MOST_AT_ONCE, 1]);
}

#[test]
fn a_reference_to_nothing_is_refused() {
    let bounds = validate::Bounds { page: 4096, task_size: crate::sys::task_size(), data: 0..1 << 40 };
    let mut records = with_pidfds(1);
    validate::check(&records, &bounds).unwrap();
    for (id, thread) in [(74, false), (71, false), (73, true)] {
        records.inodes.last_mut().unwrap().kind = Kind::Pidfd(Pidfd { id, thread });
        let why = validate::check(&records, &bounds).unwrap_err();
        assert!(why.contains(&format!("{id}")) && why.contains("is missing"), "{why}");
    }
}

#[test]
fn a_vdso_of_another_size_does_not_fit() {
    let mut host = host();
    host.special[0].len = 0x3000;
    let why = special_mismatch(&job(), &host).unwrap();
    assert!(why.contains("pid 70") && why.contains("[vdso]"), "{why}");
}

proptest! {
    #[test]
    fn the_scratch_range_is_where_nobody_has_anything(starts in prop::collection::vec(0u64..crate::sys::task_size() >> 12, 1..40), pages in 1u64..1 << 30) {
        let mut records = job();
        let Life::Alive(alive) = &mut records.processes[0].life else { unreachable!("the leader lives") };
        let mut starts: Vec<u64> = starts.into_iter().map(|page| page << 12).collect();
        starts.sort_unstable();
        starts.dedup();
        let ends = starts[1..].iter().copied().chain([crate::sys::task_size()]);
        let anonymous = Backing::Anonymous { name: None };
        alive.memory.vmas = starts
            .iter()
            .zip(ends)
            .map(|(start, limit)| Vma { end: limit.min(start + (pages << 12)), ..vma(*start, 0, anonymous.clone()) })
            .collect();
        let size = SCRATCH_SIZE + 0x2000;
        if let Ok(free_range) = find_free_range(&records, &host(), size) {
            let free_range = free_range..free_range + size;
            prop_assert!(free_range.end <= crate::sys::task_size());
            for (_, alive) in records.alive() {
                for vma in &alive.memory.vmas {
                    prop_assert!(vma.end <= free_range.start || free_range.end <= vma.start, "{vma:?} and {free_range:?}");
                }
            }
        }
    }
}

/// A change to a number or a list.
#[derive(Debug, Clone, Copy)]
enum Forgery {
    Number(i64),
    Empty,
    Shorter,
    Doubled,
    Reversed,
}

impl Forgery {
    fn fits(self, value: &Value) -> bool {
        match self {
            Forgery::Number(_) => value.is_integer(),
            _ => value.as_array().is_some_and(|list| !list.is_empty()),
        }
    }

    fn apply(self, value: &mut Value) {
        match (self, value) {
            (Forgery::Number(number), value) => *value = number.into(),
            (Forgery::Empty, Value::Array(list)) => list.clear(),
            (Forgery::Shorter, Value::Array(list)) => drop(list.pop()),
            (Forgery::Doubled, Value::Array(list)) => list.extend_from_within(..),
            (Forgery::Reversed, Value::Array(list)) => list.reverse(),
            _ => unreachable!("lists fit only lists"),
        }
    }

    /// Forges the `which`th matching number or list; false if there are fewer.
    fn commit(self, value: &mut Value, which: &mut usize) -> bool {
        if self.fits(value) {
            if *which == 0 {
                self.apply(value);
                return true;
            }
            *which -= 1;
        }
        match value {
            Value::Array(all) => all.iter_mut().any(|value| self.commit(value, which)),
            Value::Map(all) => all.iter_mut().any(|(_, value)| self.commit(value, which)),
            _ => false,
        }
    }
}

/// Arbitrary forged records are either refused or planned, in a number of steps bounded by their
/// size.
#[test]
fn forged_records_are_refused_or_planned() {
    use proptest::test_runner::{Config, TestRunner};
    use std::cell::Cell;
    const SETS: u32 = 10_000;
    const NUMBERS: [i64; 12] =
        [0, -1, 1, 2, 63, 65, 4096, 1 << 31, i32::MAX as i64, i64::MAX, i64::MIN, 0x7fff_ffff_f000];
    let lists = [Forgery::Empty, Forgery::Shorter, Forgery::Doubled, Forgery::Reversed];
    let forgery = prop_oneof![
        4 => (0usize..400, prop::sample::select(&NUMBERS[..]).prop_map(Forgery::Number)),
        1 => (0usize..60, prop::sample::select(lists.to_vec())),
    ];
    let bounds = validate::Bounds { page: 4096, task_size: crate::sys::task_size(), data: 0..1 << 20 };
    let whole = job();
    validate::check(&whole, &bounds).expect("what was not forged is whole");
    let text = Value::serialized(&whole).expect("it can be written");
    let (refused, planned) = (Cell::new(0), Cell::new(0));
    let config = Config { cases: SETS, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(forgery, 1..4), |forgeries| {
        let mut forged = text.clone();
        for (mut which, forgery) in forgeries {
            forgery.commit(&mut forged, &mut which);
        }
        let records: Result<Records, _> = forged.deserialized();
        let checked = records.ok().filter(|records| validate::check(records, &bounds).is_ok());
        let Some(Ok(plan)) = checked.map(|records| plan(&records, &host())) else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        planned.set(planned.get() + 1);
        let calls = plan.steps.iter().map(|step| match step {
            Step::Run { program, .. } | Step::End { program, .. } => program.calls().len(),
            _ => 0,
        });
        let (steps, calls) = (plan.steps.len(), calls.sum::<usize>());
        prop_assert!(steps < 1000 && calls < 2000, "{steps} steps, {calls} calls");
        Ok(())
    });
    outcome.unwrap();
    let (refused, planned) = (refused.get(), planned.get());
    assert!(refused > SETS / 10 && planned > SETS / 10, "{refused} refused, {planned} planned");
}
