//! Settings of threads and processes: the module's answers compared with those of the system calls.

use super::Check;
use super::child::{self, Living, PATIENCE};
use anyhow::{Context, Result, ensure};
use cairn::arch;
use cairn::remote::{Arg, ModuleThread, Program};
use cairn::sys::{ptrace, wait};
use cairn_kmod_abi::{self as abi, Device};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const CHECKS: &[Check] = &[
    ("settings are told as the process itself is told", || as_told(true)),
    ("a process without settings is told as having none", || as_told(false)),
    ("an undo list that is empty is none", empty_undo_list),
    ("segments of set_thread_area", segments),
    ("a report of having gone on, and of a stop", reports),
    ("memory policies of many mappings", many_policies),
];

/// Buffer for a memory policy: the mode at offset 0, the nodemask at offset 8.
const POLICY_ROOM: usize = 8 + 128;

/// An argument of a system call.
#[derive(Clone, Copy)]
enum Argument {
    Number(u64),
    /// Offset in the buffer for the answer.
    Room(u64),
}
use Argument::{Number, Room};

/// A system call, with the size of the buffer for its answer.
struct Question {
    name: String,
    nr: i64,
    arguments: Vec<Argument>,
    room: usize,
}

fn question(name: &str, nr: i64, arguments: &[Argument], room: usize) -> Question {
    Question { name: name.to_owned(), nr, arguments: arguments.to_vec(), room }
}

/// get_mempolicy(2): the policy of the thread, or that at an address.
fn ask_policy(name: &str, at: Option<u64>) -> Question {
    const MPOL_F_ADDR: u64 = 2;
    let (addr, flags) = at.map_or((0, 0), |addr| (addr, MPOL_F_ADDR));
    let arguments = [Room(0), Room(8), Number(1024), Number(addr), Number(flags)];
    question(name, libc::SYS_get_mempolicy, &arguments, POLICY_ROOM)
}

// include/uapi/linux/keyctl.h
const KEYCTL_READ: u64 = 11;
const KEYCTL_SET_REQKEY_KEYRING: u64 = 14;
const KEY_SPEC_THREAD_KEYRING: u64 = -1i64 as u64;
const KEY_SPEC_PROCESS_KEYRING: u64 = -2i64 as u64;

/// All system calls that are compared; `addrs` are addresses of memory.
fn questions(addrs: &[u64]) -> Vec<Question> {
    const ASK_MEMBARRIER: u64 = 1 << 9;
    let prctl = |name: &str, arguments: &[u64]| {
        let arguments: Vec<Argument> = arguments.iter().copied().map(Number).collect();
        question(name, libc::SYS_prctl, &arguments, 0)
    };
    let keyctl = |name: &str, arguments: &[u64]| {
        let arguments: Vec<Argument> = arguments.iter().copied().map(Number).collect();
        question(name, libc::SYS_keyctl, &arguments, 0)
    };
    let mut all = vec![
        question("membarrier", libc::SYS_membarrier, &[Number(ASK_MEMBARRIER), Number(0), Number(0)], 0),
        ask_policy("own policy", None),
        prctl("store bypass", &[52, 0, 0, 0, 0]),
        prctl("indirect branches", &[52, 1, 0, 0, 0]),
        prctl("L1D flush", &[52, 2, 0, 0, 0]),
        prctl("MDWE", &[66, 0, 0, 0, 0]),
        prctl("memory merge", &[68, 0, 0, 0, 0]),
        prctl("rseq slice", &[79, 1, 0, 0, 0]),
        keyctl("thread keyring", &[KEYCTL_READ, KEY_SPEC_THREAD_KEYRING, 0, 0]),
        keyctl("process keyring", &[KEYCTL_READ, KEY_SPEC_PROCESS_KEYRING, 0, 0]),
        keyctl("keyring for requested keys", &[KEYCTL_SET_REQKEY_KEYRING, u64::MAX]),
    ];
    all.extend(addrs.iter().map(|addr| ask_policy(&format!("policy at {addr:#x}"), Some(*addr))));
    if let Some(nr) = arch::SYS_ARCH_PRCTL {
        all.push(question("CPUID", nr, &[Number(0x1011), Number(0)], 0));
        all.push(question("XCOMP permissions", nr, &[Number(0x1022), Room(0)], 8));
        all.push(question("untag mask", nr, &[Number(0x4001), Room(0)], 8));
    }
    if let Some(nr) = arch::SYS_MODIFY_LDT {
        // The module reports the size of the table only.
        all.push(question("LDT", nr, &[Number(0), Number(scratch()), Number(64)], 0));
    }
    all
}

/// A buffer for answers that are discarded.
fn scratch() -> u64 {
    static ROOM: [std::sync::atomic::AtomicU64; 8] = [const { std::sync::atomic::AtomicU64::new(0) }; 8];
    ROOM.as_ptr() as u64
}

/// Return value, and contents of the buffer.
type Answer = (i64, Vec<u8>);

/// Makes a system call; returns -errno on error.
fn call(nr: i64, arguments: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: addresses in the arguments are those of live buffers of the callers, as large as
    // the system call needs.
    let result = unsafe { libc::syscall(nr, a, b, c, d, e, f) };
    if result == -1 {
        -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        result
    }
}

impl Question {
    /// Makes the system call.
    fn ask_oneself(&self) -> Answer {
        let mut room = vec![0u8; self.room];
        let base = room.as_mut_ptr() as u64;
        let mut arguments = [0; 6];
        for (argument, to) in self.arguments.iter().zip(&mut arguments) {
            *to = match argument {
                Number(number) => *number,
                Room(at) => base + at,
            };
        }
        (call(self.nr, arguments), room)
    }

    /// Has the module answer for a thread.
    fn ask(&self, held: &ModuleThread) -> Result<Answer> {
        let mut program = Program::new();
        let room = program.out(self.room);
        let argument = |argument: &Argument| match argument {
            Number(number) => Arg::Imm(*number),
            Room(at) => Arg::Data(room, *at),
        };
        let arguments: Vec<Arg> = self.arguments.iter().map(argument).collect();
        let id = program.call_unchecked(self.nr, &arguments, self.name.clone());
        let outcome = held.answer(&program)?;
        Ok((outcome.result(id), outcome.data(room).to_vec()))
    }
}

/// Fields of the module that no system call reports.
const FLAGS: [&str; 5] = ["dispatch", "io_ports", "core_cookie", "sem_undo", "landlock"];

fn flags(told: &abi::Thread) -> [u32; 5] {
    [told.dispatch, told.io_ports, told.core_cookie, told.sem_undo, told.landlock]
}

/// Behaviour of the target: changes all settings, or none, makes the system calls, and prints
/// addresses, flags and answers.
pub fn live(sets: bool) -> ! {
    let addrs = memory();
    let mut has = [0; 5];
    let mut registered = 0;
    if sets {
        set_policies(&addrs);
        registered = register();
        has = set_rest();
    }
    let mut line = format!("{} {}", join(&addrs), join(&has));
    for question in questions(&addrs) {
        let (mut result, room) = question.ask_oneself();
        if question.nr == libc::SYS_membarrier && result == -i64::from(libc::EINVAL) {
            // MEMBARRIER_CMD_GET_REGISTRATIONS came in 6.3.
            result = registered;
        }
        let room: String = room.iter().map(|byte| format!("{byte:02x}")).collect();
        line += &format!(" {result}={room}");
    }
    println!("{line}");
    child::idle()
}

fn join<T: std::fmt::Display>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

const PAGE: u64 = 4096;

/// Addresses of two private mappings, of two pages of a shared one, and of unmapped memory.
fn memory() -> Vec<u64> {
    let map = |flags: i32, pages: u64| {
        let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let flags = (flags | libc::MAP_ANONYMOUS) as u64;
        let at = call(libc::SYS_mmap, [0, pages * PAGE, prot, flags, u64::MAX, 0]);
        assert!(at > 0, "mmap: {at}");
        at as u64
    };
    let (first, second) = (map(libc::MAP_PRIVATE, 4), map(libc::MAP_PRIVATE | libc::MAP_GROWSDOWN, 4));
    let (shared, gone) = (map(libc::MAP_SHARED, 4), map(libc::MAP_PRIVATE, 1));
    assert_eq!(call(libc::SYS_munmap, [gone, PAGE, 0, 0, 0, 0]), 0);
    vec![first, second, shared, shared + PAGE, gone]
}

/// Sets different policies for the thread, a private mapping and the second page of the shared
/// mapping.
fn set_policies(addrs: &[u64]) {
    // include/uapi/linux/mempolicy.h
    const MPOL_PREFERRED: u64 = 1;
    const MPOL_BIND: u64 = 2;
    const MPOL_INTERLEAVE: u64 = 3;
    const MPOL_F_STATIC_NODES: u64 = 1 << 15;
    const MPOL_F_RELATIVE_NODES: u64 = 1 << 14;
    // Nodes that do not exist are kept with MPOL_F_STATIC_NODES only.
    let (first, some) = ([1u64, 0], [5u64, 0]);
    let (first, some) = (first.as_ptr() as u64, some.as_ptr() as u64);
    let bind = |at, mode, nodes| call(libc::SYS_mbind, [at, PAGE, mode, nodes, 65, 0]);
    let own = [MPOL_BIND | MPOL_F_STATIC_NODES, some, 65, 0, 0, 0];
    assert_eq!(call(libc::SYS_set_mempolicy, own), 0);
    assert_eq!(bind(addrs[0], MPOL_INTERLEAVE, first), 0);
    assert_eq!(bind(addrs[3], MPOL_PREFERRED | MPOL_F_RELATIVE_NODES, some), 0);
}

/// Registers for membarrier(2). Returns the commands.
fn register() -> i64 {
    const GLOBAL: u64 = 1 << 2;
    const PRIVATE: u64 = 1 << 4;
    const PRIVATE_RSEQ: u64 = 1 << 8;
    for command in [GLOBAL, PRIVATE, PRIVATE_RSEQ] {
        assert_eq!(call(libc::SYS_membarrier, [command, 0, 0, 0, 0, 0]), 0);
    }
    (GLOBAL | PRIVATE | PRIVATE_RSEQ) as i64
}

/// Changes what this kernel and machine support. Returns the expected [`FLAGS`].
fn set_rest() -> [u32; 5] {
    const PR_SET_SPECULATION_CTRL: u64 = 53;
    const PR_SPEC_DISABLE: u64 = 4;
    const PR_SET_SYSCALL_USER_DISPATCH: u64 = 59;
    const PR_SCHED_CORE: u64 = 62;
    const PR_SET_MDWE: u64 = 65;
    const PR_SET_MEMORY_MERGE: u64 = 67;
    const ARCH_SET_CPUID: u64 = 0x1012;
    let prctl = |option, a, b, c| call(libc::SYS_prctl, [option, a, b, c, 0, 0]);
    for kind in 0..3 {
        prctl(PR_SET_SPECULATION_CTRL, kind, PR_SPEC_DISABLE, 0);
    }
    prctl(PR_SET_MDWE, 1, 0, 0);
    prctl(PR_SET_MEMORY_MERGE, 1, 0, 0);
    if let Some(nr) = arch::SYS_ARCH_PRCTL {
        call(nr, [ARCH_SET_CPUID, 0, 0, 0, 0, 0]);
    }
    if let Some(nr) = arch::SYS_MODIFY_LDT {
        let entry = segment(3);
        assert_eq!(call(nr, [1, entry.as_ptr() as u64, 16, 0, 0, 0]), 0);
    }
    add_keys();
    let cookie = prctl(PR_SCHED_CORE, 1, 0, 0) == 0;
    let undo = raise_with_undo();
    let ports = set_ports();
    let landlock = enter_domain();
    // An empty range of addresses, and a selector byte of 0: every system call is made.
    let selector = scratch() + 56;
    let dispatch = call(libc::SYS_prctl, [PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, selector, 0]) == 0;
    [dispatch.into(), ports.into(), cookie.into(), undo.into(), landlock.into()]
}

/// `struct user_desc` of a 32-bit data segment.
fn segment(number: u32) -> [u32; 4] {
    const SEG_32BIT: u32 = 1;
    const LIMIT_IN_PAGES: u32 = 1 << 4;
    const USEABLE: u32 = 1 << 6;
    [number, 0x1000, 0xfffff, SEG_32BIT | LIMIT_IN_PAGES | USEABLE]
}

/// Adds a key to the thread keyring and two to the process keyring, and sends others to the former.
fn add_keys() {
    for (keyring, name) in [
        (KEY_SPEC_THREAD_KEYRING, c"one"),
        (KEY_SPEC_PROCESS_KEYRING, c"one"),
        (KEY_SPEC_PROCESS_KEYRING, c"two"),
    ] {
        let [kind, name] = [c"user", name].map(|text| text.as_ptr() as u64);
        assert!(call(libc::SYS_add_key, [kind, name, name, 3, keyring, 0]) > 0);
    }
    assert_eq!(call(libc::SYS_keyctl, [KEYCTL_SET_REQKEY_KEYRING, 1, 0, 0, 0, 0]), 0);
}

/// Enters a Landlock domain that handles the removal of directories.
fn enter_domain() -> bool {
    const LANDLOCK_ACCESS_FS_REMOVE_DIR: u64 = 1 << 4;
    let handled = LANDLOCK_ACCESS_FS_REMOVE_DIR.to_ne_bytes();
    let set = [handled.as_ptr() as u64, handled.len() as u64, 0, 0, 0, 0];
    let rules = call(libc::SYS_landlock_create_ruleset, set);
    rules >= 0 && call(libc::SYS_landlock_restrict_self, [rules as u64, 0, 0, 0, 0, 0]) == 0
}

/// Raises a semaphore with SEM_UNDO.
fn raise_with_undo() -> bool {
    // SAFETY: an owned semaphore; the operation is live.
    unsafe {
        let id = libc::semget(libc::IPC_PRIVATE, 1, 0o600);
        let mut raise = libc::sembuf { sem_num: 0, sem_op: 1, sem_flg: libc::SEM_UNDO as i16 };
        assert_eq!(libc::semop(id, &mut raise, 1), 0);
    }
    true
}

#[cfg(target_arch = "x86_64")]
fn set_ports() -> bool {
    // SAFETY: only the permission for the port is changed; it is not accessed.
    unsafe { libc::ioperm(0x80, 1, 1) == 0 }
}

#[cfg(not(target_arch = "x86_64"))]
fn set_ports() -> bool {
    false
}

/// A frozen process.
struct Caught {
    living: Living,
    device: Arc<Device>,
}

impl Caught {
    fn new(living: Living) -> Result<Self> {
        let device = Arc::new(Device::open()?);
        device.freeze(living.pid(), 0, PATIENCE)?;
        Ok(Caught { living, device })
    }

    fn look(&self) -> Result<ModuleThread> {
        ModuleThread::look(&self.device, self.living.pid(), self.living.pid())?.context("it is there")
    }
}

fn as_told(sets: bool) -> Result<()> {
    let mut living = Living::new(if sets { "settings" } else { "no-settings" })?;
    let line = living.hear()?;
    let mut words = line.split(' ');
    let mut numbers = || -> Result<Vec<u64>> {
        let word = words.next().context("too little is said")?;
        word.split(',').map(|number| number.parse().context("a number")).collect()
    };
    let (addrs, has) = (numbers()?, numbers()?);
    let caught = Caught::new(living)?;
    let held = caught.look()?;
    let all = questions(&addrs);
    ensure!(words.clone().count() == all.len(), "{line:?} are not {} answers", all.len());
    let mut wrong = Vec::new();
    for (question, wanted) in all.iter().zip(words) {
        let (result, room) = question.ask(&held).with_context(|| question.name.clone())?;
        let room: String = room.iter().map(|byte| format!("{byte:02x}")).collect();
        let told = format!("{result}={room}");
        println!("# {}: {}", question.name, told.trim_end_matches('0'));
        if told != wanted {
            wrong.push(format!("{}: {told}, itself: {wanted}", question.name));
        }
    }
    for ((name, told), wanted) in FLAGS.iter().zip(flags(&held.told)).zip(has) {
        println!("# {name}: {told}");
        if u64::from(told) != wanted {
            wrong.push(format!("{name}: {told}, set: {wanted}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    caught.living.kill()
}

/// Threads share an undo list, which may be empty.
fn empty_undo_list() -> Result<()> {
    let living = Living::new("threads")?;
    let tasks = format!("/proc/{}/task", living.pid());
    child::wait_for(|| std::fs::read_dir(&tasks).is_ok_and(|dir| dir.count() > 1))?;
    let caught = Caught::new(living)?;
    ensure!(caught.look()?.told.sem_undo == 0, "there is nothing to undo");
    caught.living.kill()
}

/// Set by PTRACE_SET_THREAD_AREA, which x86 has.
fn segments() -> Result<()> {
    const PTRACE_SET_THREAD_AREA: u32 = 26;
    const FIRST: u64 = 12;
    let living = Living::new("sleep")?;
    let mut set = 0;
    if cfg!(target_arch = "x86_64") {
        ptrace::seize(living.pid(), 0)?;
        ptrace::interrupt(living.pid())?;
        wait::wait(living.pid())?;
        for number in FIRST..FIRST + 2 {
            let entry = segment(number as u32);
            // SAFETY: the tracee is stopped, and the entry live.
            let done = unsafe { libc::ptrace(PTRACE_SET_THREAD_AREA, living.pid(), number, entry.as_ptr()) };
            set += u32::from(done == 0);
        }
        ptrace::detach(living.pid())?;
    }
    let caught = Caught::new(living)?;
    let told = caught.look()?.told.tls;
    println!("# {told} segments");
    ensure!(told == set, "{told} segments are told of {set}");
    caught.living.kill()
}

/// Compared with waitid(2) by the parent, which this process is.
fn reports() -> Result<()> {
    let living = Living::new("count")?;
    let ask = |flag: i32, of: &Living| {
        let flags = (flag | libc::WNOHANG | libc::WNOWAIT) as u64;
        let arguments =
            [Number(libc::P_PID.into()), Number(of.pid() as u64), Room(0), Number(flags), Number(0)];
        question(
            if flag == libc::WSTOPPED { "stopped" } else { "goes on" },
            libc::SYS_waitid,
            &arguments,
            128,
        )
    };
    let compare = |living: Living, wanted: [bool; 2]| -> Result<Living> {
        let caught = Caught::new(living)?;
        let held = caught.look()?;
        for (flag, wanted) in [libc::WSTOPPED, libc::WCONTINUED].into_iter().zip(wanted) {
            let question = ask(flag, &caught.living);
            let ((result, room), (own, own_room)) = (question.ask(&held)?, question.ask_oneself());
            let what = &question.name;
            ensure!(result == own && room[..4] == own_room[..4], "{what}: {room:?}, ourselves {own_room:?}");
            ensure!((own_room[0] != 0) == wanted, "{what}: {own_room:?}");
        }
        Ok(caught.living)
    };
    let living = compare(living, [false, false])?;
    living.signal(libc::SIGSTOP);
    child::wait_for(|| living.state().is_ok_and(|state| state == 'T'))?;
    let living = compare(living, [true, false])?;
    living.signal(libc::SIGCONT);
    living.runs_on()?;
    let living = compare(living, [false, true])?;
    // Waiting for it consumes the report.
    let mut status = 0;
    // SAFETY: the status is ours.
    unsafe { libc::waitpid(living.pid(), &mut status, libc::WCONTINUED) };
    compare(living, [false, false])?.kill()
}

fn many_policies() -> Result<()> {
    const MAPPINGS: usize = 10_000;
    let mut living = Living::new("settings")?;
    let line = living.hear()?;
    let addr: u64 = line.split(',').next().context("an address")?.parse()?;
    let caught = Caught::new(living)?;
    let held = caught.look()?;
    let mut program = Program::new();
    let room = program.out(POLICY_ROOM);
    for _ in 0..MAPPINGS {
        let arguments = [Arg::Data(room, 0), Arg::Data(room, 8), 1024.into(), addr.into(), 2.into()];
        program.call_ok(libc::SYS_get_mempolicy, &arguments, "policy");
    }
    let begin = Instant::now();
    held.answer(&program)?;
    let took = begin.elapsed();
    println!("# {MAPPINGS} policies in {took:?}");
    ensure!(took < Duration::from_secs(5), "{MAPPINGS} policies took {took:?}");
    caught.living.kill()
}
