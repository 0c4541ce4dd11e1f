//! A process: what its threads share, and its place in the tree.

use super::bytes::PathBytes;
use super::fd::table::Fd;
use super::mm::Memory;
use super::signal::{Action, Pending};
use super::thread::Thread;
use super::thread::seccomp::Filter;
use super::timer::{IntervalTimers, PosixTimer};
use crate::error::{Context, Error, Result};
use crate::remote::{Arg, DataId, Program, ProgramOutput};
use crate::tree::freeze::stat_at;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

/// Whether a process runs or is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Running or sleeping.
    Running,
    /// In a group stop.
    Stopped {
        /// The stop signal.
        signal: i32,
        /// Whether its parent has waited for the stop already (`WUNTRACED`).
        reported: bool,
    },
}

/// A process that has not exited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// Running or stopped.
    pub state: State,
    /// It was continued after a stop, and its parent has yet to wait for that (`WCONTINUED`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
    /// Its leader, if that has exited while others run: it is not one of the threads then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Zombie>,
    /// Threads, the leader first.
    pub threads: Vec<Thread>,
    /// The seccomp filters of its threads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Address space; without mappings and contents if it is that of another process.
    pub memory: Memory,
    /// PID of an earlier process whose memory it has, too (`CLONE_VM`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_of: Option<i32>,
    /// Descriptor table, by number; empty if it is that of another process.
    pub fds: Vec<Fd>,
    /// PID of an earlier process whose descriptor table it has, too (`CLONE_FILES`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_of: Option<i32>,
    /// Working directory: index of an open file.
    pub cwd: usize,
    /// Root directory: index of an open file; `None` if it is the engine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<usize>,
    /// File mode creation mask.
    pub umask: u32,
    /// PID of an earlier process whose directories and mask these are, too (`CLONE_FS`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_of: Option<i32>,
    /// Signal actions that are not the default, by number; none if they are those of another
    /// process.
    pub actions: Vec<Action>,
    /// PID of an earlier process whose signal actions these are, too (`CLONE_SIGHAND`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions_of: Option<i32>,
    /// Signals queued for the process, in order.
    pub pending: Vec<Pending>,
    /// Interval timers.
    pub interval_timers: IntervalTimers,
    /// POSIX timers, by id.
    pub posix_timers: Vec<PosixTimer>,
    /// (soft, hard) by resource number, `u64::MAX` for infinity.
    pub rlimits: Vec<(u64, u64)>,
    /// personality(2)
    pub personality: u32,
    /// `PR_SET_CHILD_SUBREAPER`
    pub subreaper: bool,
    /// -1000 to 1000.
    pub oom_score_adj: i32,
    /// Kinds of mappings in a core dump, core(5).
    pub coredump_filter: u32,
    /// Nice value of its session, if that is saved.
    #[serde(default, skip_serializing_if = "crate::resource::is_default")]
    pub session_nice: i32,
    /// Control groups of its threads, by index, one for each hierarchy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cgroups: Vec<usize>,
    /// Its security label (/proc/PID/attr/current); `None` without a security module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<PathBytes>,
}

/// A process that has exited and was not reaped, or its leader alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zombie {
    /// Exit status as in wait(2).
    pub status: i32,
    /// Name.
    pub comm: PathBytes,
}

impl Zombie {
    /// Sets the name, in whoever is about to become it.
    pub fn rebuild_name(&self, program: &mut Program) {
        let name = program.cstr(&self.comm.0);
        program.call_ok(libc::SYS_prctl, &[libc::PR_SET_NAME.into(), name.into()], "set name");
    }
}

/// Alive or a zombie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant)]
pub enum Life {
    /// It has memory, threads and descriptors.
    Alive(Box<Alive>),
    /// It has exited and is waited for.
    Zombie(Zombie),
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its PID.
    pub pid: i32,
    /// PID of the parent; 0 if that is outside the saved tree.
    pub ppid: i32,
    /// Process group; 0 if it is outside the saved tree.
    pub pgid: i32,
    /// Session; 0 if it is outside the saved tree.
    pub sid: i32,
    /// Signal to its parent when it exits.
    pub exit_signal: i32,
    /// Its state.
    pub life: Life,
}

/// The first processes that have what a process has, itself unless it shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firsts {
    /// The descriptor table.
    pub files: i32,
    /// Working directory, root directory and umask.
    pub fs: i32,
    /// The address space.
    pub memory: i32,
    /// Signal actions.
    pub actions: i32,
}

/// What a process has in common with the one that creates it, clone(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Common {
    /// The descriptor table.
    pub files: bool,
    /// Working directory, root directory and umask.
    pub fs: bool,
    /// The address space.
    pub memory: bool,
    /// Signal actions.
    pub actions: bool,
}

impl Firsts {
    /// What both have in common.
    pub fn common(self, other: Firsts) -> Common {
        Common {
            files: self.files == other.files,
            fs: self.fs == other.fs,
            memory: self.memory == other.memory,
            actions: self.actions == other.actions,
        }
    }

    /// What process `pid`, which has these, shares with an earlier one.
    pub fn shared_by(self, pid: i32) -> Common {
        let Firsts { files, fs, memory, actions } = self;
        Common { files: files != pid, fs: fs != pid, memory: memory != pid, actions: actions != pid }
    }
}

impl Common {
    /// `CLONE_*`
    pub fn clone_flags(self) -> u64 {
        let flag = |is: bool, flag: i32| if is { flag as u64 } else { 0 };
        flag(self.files, libc::CLONE_FILES)
            | flag(self.fs, libc::CLONE_FS)
            | flag(self.memory, libc::CLONE_VM)
            | flag(self.actions, libc::CLONE_SIGHAND)
    }

    /// For plans: what follows "create process 72".
    pub fn describe(self) -> String {
        let parts = [
            (self.files, "descriptors"),
            (self.fs, "directories"),
            (self.memory, "memory"),
            (self.actions, "signal actions"),
        ];
        let shared: Vec<&str> = parts.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
        match shared.split_last() {
            None => String::new(),
            Some((only, [])) => format!(", sharing {only}"),
            Some((last, others)) => format!(", sharing {} and {last}", others.join(", ")),
        }
    }
}

/// A child to query in its parent.
#[derive(Debug, Clone, Copy)]
pub struct Child {
    /// Its PID.
    pub pid: i32,
    /// Whether it is in a group stop.
    pub stopped: bool,
}

/// Queries in a parent which stops and continuations of its children it has yet to wait for.
pub struct AskReports(Vec<(i32, DataId)>);

impl AskReports {
    /// Adds the calls, which leave the events waitable.
    pub fn ask(program: &mut Program, children: &[Child]) -> Self {
        const SIGINFO_SIZE: usize = 128;
        let ask = |child: &Child| {
            let info = program.out(SIGINFO_SIZE);
            let what = if child.stopped { libc::WSTOPPED } else { libc::WCONTINUED };
            // Also for children with an exit signal other than SIGCHLD.
            let flags = what | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
            let args = [libc::P_PID.into(), child.pid.into(), info.into(), flags.into(), Arg::Imm(0)];
            program.call_ok(libc::SYS_waitid, &args, format!("read wait status of {}", child.pid));
            (child.pid, info)
        };
        AskReports(children.iter().map(ask).collect())
    }

    /// PID of each child, and whether it has an event to wait for.
    pub fn answer(&self, outcome: &ProgramOutput) -> impl Iterator<Item = (i32, bool)> {
        // Without an event, waitid(2) zeroes the siginfo.
        self.0.iter().map(|(child, info)| (*child, outcome.data(*info).iter().any(|byte| *byte != 0)))
    }
}

/// Waits for a child's stop, as the original parent had.
pub fn take_report(child: i32, program: &mut Program) {
    let args =
        [child.into(), Arg::Imm(0), (libc::WUNTRACED | libc::WNOHANG | libc::__WALL).into(), Arg::Imm(0)];
    program.call_returning(libc::SYS_wait4, &args, child as u64, format!("consume stop report of {child}"));
}

/// Number of resource limits (`RLIM_NLIMITS`).
pub const RLIMITS: u32 = LIMITS.len() as u32;

/// Their names, by number (include/uapi/asm-generic/resource.h, the same on all our architectures).
const LIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// The name of a resource limit.
pub fn rlimit_name(resource: u32) -> &'static str {
    LIMITS[resource as usize]
}

/// A value of a resource limit as text.
pub fn shown(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".into() } else { limit.to_string() }
}

/// Sets a resource limit, soft and hard.
pub fn set_limit(resource: usize, (soft, hard): (u64, u64), program: &mut Program) {
    let bytes = program.bytes([soft, hard].iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>());
    let args = [Arg::Imm(0), resource.into(), bytes.into(), Arg::Imm(0)];
    let what = format!(
        "set {} to {}:{} (raising a hard limit needs CAP_SYS_RESOURCE)",
        LIMITS[resource.min(LIMITS.len() - 1)],
        shown(soft),
        shown(hard)
    );
    program.call_ok(libc::SYS_prlimit64, &args, what);
}

/// Reads the resource limits from inside: prlimit(2) on a process with other ids takes
/// CAP_SYS_RESOURCE.
pub struct AskRlimits(Vec<DataId>);

impl AskRlimits {
    /// Adds the calls.
    pub fn ask(program: &mut Program) -> Self {
        let ask = |resource: u32| {
            let out = program.out(16);
            let args = [Arg::Imm(0), resource.into(), Arg::Imm(0), out.into()];
            program.call_ok(libc::SYS_prlimit64, &args, format!("read resource limit {resource}"));
            out
        };
        AskRlimits((0..RLIMITS).map(ask).collect())
    }

    /// (soft, hard) by resource number.
    pub fn answer(&self, outcome: &ProgramOutput) -> Vec<(u64, u64)> {
        let word =
            |data: &[u8], at: usize| u64::from_ne_bytes(data[at..at + 8].try_into().expect("eight bytes"));
        self.0.iter().map(|out| outcome.data(*out)).map(|data| (word(data, 0), word(data, 8))).collect()
    }
}

/// The leader of a process that has exited while other threads run.
///
/// # Errors
/// *vanished*
pub fn ended_leader(pid: i32) -> Result<Zombie> {
    // That of the process shows the signal of a group stop instead (fs/proc/array.c,
    // `do_task_stat`).
    let stat = stat_at(&format!("/proc/{pid}/task/{pid}/stat"))?;
    let stat = stat.ok_or_else(|| Error::Vanished(format!("pid {pid} has exited")))?;
    Ok(Zombie { status: stat.exit_code.unwrap_or(0), comm: PathBytes(stat.comm.into_bytes()) })
}

/// personality(2) of a thread: domain and flags.
///
/// # Errors
/// *vanished*, *denied*
pub fn personality(tid: i32) -> Result<u32> {
    let path = format!("/proc/{tid}/personality");
    let text = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    u32::from_str_radix(text.trim(), 16)
        .map_err(|_| Error::unsupported(format!("{path}: cannot read {text:?}")))
}

/// The adjustment of the out-of-memory score.
///
/// # Errors
/// *vanished*
pub fn oom_score_adj(pid: i32) -> Result<i32> {
    let path = format!("/proc/{pid}/oom_score_adj");
    let text = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    text.trim().parse().map_err(|_| Error::unsupported(format!("{path}: cannot read {text:?}")))
}

/// The kinds of mappings in a core dump of a thread, as bits (core(5)).
///
/// # Errors
/// *vanished*
pub fn coredump_filter(tid: i32) -> Result<u32> {
    let path = format!("/proc/{tid}/coredump_filter");
    let text = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    let odd = || Error::unsupported(format!("{path}: cannot read {text:?}"));
    u32::from_str_radix(text.trim(), 16).map_err(|_| odd())
}

/// The nice value of a process's session (sched(7), autogroup); 0 where sessions have none.
///
/// # Errors
/// *vanished*
pub fn session_nice(pid: i32) -> Result<i32> {
    let path = format!("/proc/{pid}/autogroup");
    let text = match std::fs::read_to_string(&path) {
        // Without CONFIG_SCHED_AUTOGROUP.
        Err(_) if !Path::new("/proc/self/autogroup").exists() => return Ok(0),
        other => other.context(|| format!("read {path}"))?,
    };
    // Empty where it is switched off.
    let Some((_, nice)) = text.trim().split_once(" nice ") else { return Ok(0) };
    nice.parse().map_err(|_| Error::unsupported(format!("{path}: cannot read {text:?}")))
}

/// Sets the nice value of a process's session if it differs.
///
/// # Errors
/// *denied*: lowering it takes CAP_SYS_NICE; sessions have none here.
pub fn set_session_nice(pid: i32, nice: i32) -> Result<()> {
    if session_nice(pid)? == nice {
        return Ok(());
    }
    let path = format!("/proc/{pid}/autogroup");
    let deadline = Instant::now() + Duration::from_secs(10);
    // Without CAP_SYS_ADMIN there may be one change in 100 ms, by whomever, and nothing tells when
    // (kernel/sched/autogroup.c, `proc_sched_autogroup_set_nice`).
    loop {
        match std::fs::write(&path, nice.to_string()) {
            Err(err) if err.raw_os_error() == Some(libc::EAGAIN) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            written => return written.context(|| format!("write {nice} to {path}")),
        }
    }
}

/// Sets the kinds of mappings in a core dump of a thread.
///
/// # Errors
/// *vanished*
pub fn set_coredump_filter(tid: i32, filter: u32) -> Result<()> {
    let path = format!("/proc/{tid}/coredump_filter");
    std::fs::write(&path, format!("{filter:#x}")).context(|| format!("write {filter:#x} to {path}"))
}

/// Sets the adjustment of the out-of-memory score if it differs.
///
/// # Errors
/// *denied*: lowering it below its previous minimum takes CAP_SYS_RESOURCE.
pub fn set_oom_score_adj(pid: i32, adj: i32) -> Result<()> {
    if oom_score_adj(pid)? == adj {
        return Ok(());
    }
    let path = format!("/proc/{pid}/oom_score_adj");
    std::fs::write(&path, adj.to_string()).context(|| format!("write {adj} to {path}"))
}

/// The security label of a process; `None` without a security module.
///
/// # Errors
/// *vanished*
pub fn label(pid: i32) -> Result<Option<PathBytes>> {
    let path = format!("/proc/{pid}/attr/current");
    match std::fs::read(&path) {
        Ok(text) => {
            let end = text.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(text.len());
            Ok((end > 0).then(|| PathBytes(text[..end].to_vec())))
        }
        // Without CONFIG_SECURITY, or if no module implements it (security/security.c,
        // `security_getprocattr`).
        Err(err) if matches!(err.raw_os_error(), Some(libc::ENOENT | libc::EINVAL | libc::EOPNOTSUPP)) => {
            Ok(None)
        }
        Err(err) => Err(err).context(|| format!("read {path}")),
    }
}

impl Alive {
    /// The first processes that have what it has; `pid` is its own.
    pub fn firsts(&self, pid: i32) -> Firsts {
        Firsts {
            files: self.files_of.unwrap_or(pid),
            fs: self.fs_of.unwrap_or(pid),
            memory: self.memory_of.unwrap_or(pid),
            actions: self.actions_of.unwrap_or(pid),
        }
    }

    /// The name of its leader.
    pub fn comm(&self) -> &PathBytes {
        self.leader.as_ref().map_or(&self.threads[0].comm, |leader| &leader.comm)
    }

    /// Records whether its parent has yet to wait for its stop, or for its continuation.
    pub fn note_report(&mut self, untold: bool) {
        match &mut self.state {
            State::Stopped { reported, .. } => *reported = !untold,
            State::Running => self.continued = untold,
        }
    }

    /// Changes root, working directory and umask; `slots` holds descriptors of open files by index.
    pub fn rebuild_fs(&self, slots: &[i32], program: &mut Program) {
        if let Some(root) = self.root {
            let dot = program.cstr(b".");
            program.call_ok(libc::SYS_fchdir, &[slots[root].into()], "change to root directory");
            program.call_ok(libc::SYS_chroot, &[dot.into()], "change root directory");
        }
        program.call_ok(libc::SYS_fchdir, &[slots[self.cwd].into()], "change working directory");
        program.call_unchecked(libc::SYS_umask, &[self.umask.into()], "set umask");
    }

    /// Sets the execution domain, which threads inherit that are created afterwards.
    pub fn rebuild_personality(&self, program: &mut Program) {
        program.call_unchecked(libc::SYS_personality, &[self.personality.into()], "set personality");
    }

    /// Sets the attributes that any thread can set for its process. `limits_now` are the limits
    /// that every new process has.
    pub fn rebuild_attributes(&self, limits_now: &[(u64, u64)], program: &mut Program) {
        if self.subreaper {
            let args = [libc::PR_SET_CHILD_SUBREAPER.into(), Arg::Imm(1)];
            program.call_ok(libc::SYS_prctl, &args, "become subreaper");
        }
        for (resource, limit) in self.rlimits.iter().enumerate() {
            if limits_now.get(resource) != Some(limit) {
                set_limit(resource, *limit, program);
            }
        }
    }

    /// Sets the dumpable attribute, which a change of ids resets. 2 (core owned by root) cannot be
    /// set by prctl(2); it only results from such a change.
    pub fn rebuild_dumpable(&self, program: &mut Program) {
        if self.memory.dumpable != 2 {
            let args = [libc::PR_SET_DUMPABLE.into(), self.memory.dumpable.into()];
            program.call_ok(libc::SYS_prctl, &args, "set dumpable");
        }
    }
}
