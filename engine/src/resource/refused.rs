//! Attributes of a thread or its address space that nothing brings back: looked for, so that nobody
//! loses them unawares.

use crate::arch::{self, RefusedState};
use crate::error::{Context, Problem, Problems, Result};
use crate::remote::{Arg, CallId, DataId, Outcome, Program, Stopped};
use crate::sys::{kcmp, ptrace, task};
use std::cmp::Ordering;

/// What can be seen of a stopped thread from outside.
///
/// # Errors
/// What the kernel says.
pub fn of_thread(thread: &Stopped, problems: &mut Problems) -> Result<()> {
    let (pid, tid) = (thread.pid(), thread.tid());
    let mut refuse = |what: &str| problems.push(Problem::of_thread(pid, tid, what));
    let (dispatches, segments, ports, cookie) = match thread {
        Stopped::Traced(_) => (
            ptrace::dispatches_syscalls(tid).context(|| format!("read system call dispatch of {tid}"))?,
            arch::has_thread_areas(tid).context(|| format!("read thread areas of {tid}"))?,
            false,
            // A kernel or machine without core scheduling gives none.
            task::core_cookie(tid).is_ok_and(|cookie| cookie != 0),
        ),
        Stopped::ModuleThread(held) => {
            let told = &held.told;
            (told.dispatch != 0, told.tls != 0, told.io_ports != 0, told.core_cookie != 0)
        }
    };
    let found = [
        (
            dispatches,
            "has its system calls dispatched to itself (PR_SET_SYSCALL_USER_DISPATCH); it can be saved once that is off",
        ),
        (segments, "has segments of its own (set_thread_area); start the job without them"),
        (ports, "may use I/O ports (ioperm, iopl); let it give that up first"),
        (cookie, "shares its core with chosen tasks only (PR_SCHED_CORE); start the job without that"),
    ];
    found.into_iter().filter(|(there, _)| *there).for_each(|(_, what)| refuse(what));
    Ok(())
}

/// Whether the process may have undoings of System V semaphores. The module tells. To others, a
/// list of them that is not empty shows nowhere, and every process that has had threads has a list
/// (ipc/sem.c, `copy_semundo`): so there have to be semaphores as well, and that of a process with
/// threads counts only if it has used a semaphore last.
///
/// # Errors
/// No kcmp(2).
pub fn may_undo_semaphores(pid: i32, threads: &[Stopped], users: &SemaphoreUsers) -> Result<bool> {
    if let Some(Stopped::ModuleThread(held)) = threads.first() {
        return Ok(held.told.sem_undo != 0);
    }
    if users.0.is_empty() {
        return Ok(false);
    }
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    // This thread has no list, see below.
    let order = kcmp::kcmp(pid, own, kcmp::Kind::Sysvsem, 0, 0);
    let has_list =
        order.context(|| format!("compare semaphores of {pid} (needs CONFIG_KCMP)"))? != Ordering::Equal;
    Ok(has_list && (threads.len() == 1 || users.0.contains(&pid)))
}

/// Who has used a System V semaphore last, of each that there is in our IPC namespace; 0 for nobody
/// yet.
pub struct SemaphoreUsers(Vec<i32>);

impl SemaphoreUsers {
    /// Looks at /proc/sysvipc/sem, and at every semaphore in it.
    pub fn look() -> Self {
        // Whoever has had threads has a list, and we are to be compared with (kernel/fork.c,
        // `ksys_unshare`). That cannot fail.
        let _ = nix::sched::unshare(nix::sched::CloneFlags::CLONE_SYSVSEM);
        let text = std::fs::read_to_string("/proc/sysvipc/sem").unwrap_or_default();
        let sets = text.lines().skip(1).filter_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let set: i32 = words.next()?.parse().ok()?;
            let semaphores: i32 = words.nth(1)?.parse().ok()?;
            Some((set, semaphores))
        });
        let users = sets.flat_map(|(set, count)| (0..count).map(move |n| (set, n)));
        // A set that goes meanwhile, or that we may not look at, counts as used by nobody of ours.
        SemaphoreUsers(users.map(|(set, n)| task::semaphore_user(set, n).unwrap_or(0)).collect())
    }
}

/// The questions that only code in the process answers.
pub struct AskRefused(Vec<(&'static RefusedState, CallId, DataId)>);

impl AskRefused {
    /// Adds the calls.
    pub fn ask(program: &mut Program) -> Self {
        let ask = |state: &'static RefusedState| {
            let out = program.out(state.room);
            let mut args: Vec<Arg> = state.args.iter().map(|arg| Arg::from(*arg)).collect();
            args[state.out] = out.into();
            (state, program.call_unchecked(state.nr, &args, format!("look whether it {}", state.what)), out)
        };
        AskRefused(arch::REFUSED_STATES.iter().map(ask).collect())
    }

    /// What the process has of these.
    pub fn answer(&self, outcome: &Outcome) -> impl Iterator<Item = &'static str> {
        let there = self
            .0
            .iter()
            .filter(|(state, call, out)| (state.there)(outcome.result(*call), outcome.data(*out)));
        there.map(|(state, ..)| state.what)
    }
}
