//! State of a thread or its address space that cannot be restored: detected, so that it is not lost
//! silently.

use crate::arch::{self, RefusedState};
use crate::error::{Context, Problem, Problems, Result};
use crate::remote::{Arg, CallId, DataId, Program, ProgramOutput, Stopped};
use crate::resource::thread::landlock;
use crate::sys::{kcmp, ptrace, sysv, task};
use std::cmp::Ordering;

/// Refuses what is visible of a stopped thread from outside.
///
/// # Errors
/// What the kernel reports.
pub fn of_thread(thread: &Stopped, problems: &mut Problems) -> Result<()> {
    let (pid, tid) = (thread.pid(), thread.tid());
    let mut refuse = |what: &str| problems.push(Problem::of_thread(pid, tid, what));
    let (dispatches, segments, ports, cookie, landlock) = match thread {
        Stopped::Traced(_) => (
            ptrace::dispatches_syscalls(tid).context(|| format!("read system call dispatch of {tid}"))?,
            arch::has_thread_areas(tid).context(|| format!("read thread areas of {tid}"))?,
            false,
            // Fails without core scheduling in kernel or machine.
            task::core_cookie(tid).is_ok_and(|cookie| cookie != 0),
            // Only the thread itself can tell.
            false,
        ),
        Stopped::ModuleThread(held) => {
            let told = &held.told;
            (told.dispatch != 0, told.tls != 0, told.io_ports != 0, told.core_cookie != 0, told.landlock != 0)
        }
    };
    let found = [
        (dispatches, "uses syscall user dispatch (PR_SET_SYSCALL_USER_DISPATCH); turn it off first"),
        (segments, "has segments of its own (set_thread_area); start the job without them"),
        (ports, "may use I/O ports (ioperm, iopl); drop the permission first"),
        (cookie, "uses core scheduling (PR_SCHED_CORE); start the job without it"),
        (landlock, landlock::RESTRICTED),
    ];
    found.into_iter().filter(|(there, _)| *there).for_each(|(_, what)| refuse(what));
    Ok(())
}

/// Whether the process may have System V semaphore undo entries. The module reports them. Otherwise
/// a non-empty undo list is not visible, and every process that has had threads has a list
/// (ipc/sem.c, `copy_semundo`): so there must be semaphores as well, on which an operation has
/// succeeded since the process, started at `start`, runs.
///
/// # Errors
/// kcmp(2) is not available.
pub fn may_undo_semaphores(start: i64, threads: &[Stopped], users: &SemaphoreUsers) -> Result<bool> {
    let tid = match &threads[0] {
        Stopped::ModuleThread(held) => return Ok(held.told.sem_undo != 0),
        Stopped::Traced(tracee) => tracee.tid,
    };
    if users.last_operation < start {
        return Ok(false);
    }
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    // This thread has no undo list, see below.
    let order = kcmp::kcmp(tid, own, kcmp::Kind::Sysvsem, 0, 0);
    let has_list =
        order.context(|| format!("compare semaphores of {tid} (needs CONFIG_KCMP)"))? != Ordering::Equal;
    Ok(has_list)
}

/// The set of each System V semaphore in our IPC namespace, and the PID of its last user; 0 if it
/// was not used yet.
pub struct SemaphoreUsers {
    /// Id of the set, PID of the user.
    pub all: Vec<(i32, i32)>,
    /// When semop(2) last succeeded on one of them, in seconds since the epoch; 0 if it never has.
    last_operation: i64,
}

impl SemaphoreUsers {
    /// Reads /proc/sysvipc/sem and every semaphore listed there.
    pub fn look() -> Self {
        // A process that has had threads has an undo list; drop ours, which is what others are
        // compared with (kernel/fork.c, `ksys_unshare`). This cannot fail.
        let _ = nix::sched::unshare(nix::sched::CloneFlags::CLONE_SYSVSEM);
        let text = std::fs::read_to_string("/proc/sysvipc/sem").unwrap_or_default();
        let sets = text.lines().skip(1).filter_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let set: i32 = words.next()?.parse().ok()?;
            let semaphores: i32 = words.nth(1)?.parse().ok()?;
            // Owner and creator, as user and group, are between.
            let time: i64 = words.nth(4)?.parse().ok()?;
            Some((set, semaphores, time))
        });
        let sets: Vec<(i32, i32, i64)> = sets.collect();
        let last_operation = sets.iter().map(|(_, _, time)| *time).max().unwrap_or(0);
        let users = sets.iter().flat_map(|(set, count, _)| (0..*count).map(move |n| (*set, n)));
        // A set that is removed meanwhile, or not accessible to us, counts as unused by the job.
        let all = users.map(|(set, n)| (set, sysv::semaphore_user(set, n).unwrap_or(0))).collect();
        SemaphoreUsers { all, last_operation }
    }
}

/// Probes for state that only code in the process can see.
pub struct AskRefused(Vec<(&'static RefusedState, CallId, DataId)>);

impl AskRefused {
    /// Adds the calls.
    pub fn ask(program: &mut Program) -> Self {
        let ask = |state: &'static RefusedState| {
            let out = program.out(state.room);
            let mut args: Vec<Arg> = state.args.iter().map(|arg| Arg::from(*arg)).collect();
            args[state.out] = out.into();
            (state, program.call_unchecked(state.nr, &args, format!("check whether it {}", state.what)), out)
        };
        AskRefused(arch::REFUSED_STATES.iter().map(ask).collect())
    }

    /// The state that the process has.
    pub fn answer(&self, outcome: &ProgramOutput) -> impl Iterator<Item = &'static str> {
        let there = self
            .0
            .iter()
            .filter(|(state, call, out)| (state.there)(outcome.result(*call), outcome.data(*out)));
        there.map(|(state, ..)| state.what)
    }
}
