//! landlock_restrict_self(2): a domain restricts a thread and all its children for good, and
//! nothing shows it: a restarted thread would be free. So a thread in a domain that it does not
//! share with the engine, whose children a restart creates, is refused.
//!
//! Whatever rights its rule sets handle, such a thread may look only at tasks in its own domain or
//! in one below it (security/landlock/task.c, `hook_ptrace_access_check`, Linux 5.13 to 7.3).
//! get_robust_list(2) of a process of the same user, made outside of the domain, answers EPERM for
//! that reason alone, and changes nothing; where audit is on, the kernel logs the denial.

use super::creds::Capabilities;
use crate::error::{Context, Problem, Problems, Result};
use crate::proc::{maps, status};
use crate::remote::{Arg, CallId, Code, Program, ProgramOutput, Scratch, Stopped, Tracee};
use crate::sys::{clone, guard, ptrace, task, wait};
use procfs::process::Status;
use rustix::process::{DumpableBehavior, dumpable_behavior};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

/// Said of a thread in a domain.
pub const RESTRICTED: &str = "is restricted by Landlock (landlock_restrict_self), and would not be after a restart; start the job without it";

/// For each thread, a process that it may look at unless a domain restricts it.
pub struct Peers {
    /// The engine's own attributes, if it may be looked at.
    own: Option<Status>,
    kernel_has: bool,
    /// By user and group.
    made: HashMap<(u32, u32), Peer>,
    /// PID by TID.
    of: HashMap<i32, i32>,
}

impl Peers {
    /// None yet.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn new() -> Result<Self> {
        let kernel_has = task::landlock_version().is_ok();
        let dumpable = kernel_has
            && dumpable_behavior().context(|| "read own dumpable attribute")? == DumpableBehavior::Dumpable;
        let pid = std::process::id() as i32;
        let own = dumpable.then(|| status::of_thread(pid, pid)).transpose()?;
        Ok(Peers { own, kernel_has, made: HashMap::new(), of: HashMap::new() })
    }

    /// Adds that of a thread: the engine, or a process of the thread's user. Needless without
    /// Landlock, and where the module tells.
    ///
    /// # Errors
    /// *denied* if no process of that user can be made; what the kernel reports.
    pub fn add(&mut self, thread: &Stopped, theirs: &Status) -> Result<()> {
        if !self.kernel_has || matches!(thread, Stopped::ModuleThread(_)) {
            return Ok(());
        }
        let pid = if self.own.as_ref().is_some_and(|own| may_look(theirs, own)) {
            std::process::id() as i32
        } else {
            match self.made.entry((theirs.ruid, theirs.rgid)) {
                Entry::Occupied(there) => there.get().pid,
                Entry::Vacant(place) => place.insert(Peer::make(theirs.ruid, theirs.rgid)?).pid,
            }
        };
        self.of.insert(thread.tid(), pid);
        Ok(())
    }

    /// The processes that were made.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        self.made.values().map(|peer| peer.pid)
    }
}

/// Whether a thread that no domain restricts may look at a process that is dumpable, by the rest of
/// kernel/ptrace.c, `__ptrace_may_access`, and security/commoncap.c, `cap_ptrace_access_check`.
fn may_look(theirs: &Status, at: &Status) -> bool {
    const CAP_SYS_PTRACE: u64 = 1 << 19;
    let same_ids =
        [at.ruid, at.euid, at.suid] == [theirs.ruid; 3] && [at.rgid, at.egid, at.sgid] == [theirs.rgid; 3];
    theirs.capeff & CAP_SYS_PTRACE != 0 || same_ids && at.capprm & !theirs.capprm == 0
}

/// A child of the engine with the ids of somebody else, stopped. Its user may read it as long as it
/// is there: it has no descriptors, and nothing that the engine has written to memory.
#[derive(Debug)]
struct Peer {
    pid: i32,
}

impl Peer {
    fn make(user: u32, group: u32) -> Result<Self> {
        let pid = clone::fork_sleeper(None, 0).context(|| "create a process to look at")?;
        // From here on it is killed when dropped.
        let peer = Peer { pid };
        let mut tracee = Tracee::seize(pid, ptrace::SYSGOOD | ptrace::EXITKILL, 0)?;
        let mapped = format!("/proc/{pid}/maps");
        let mapped = std::fs::read(&mapped).context(|| format!("read {mapped}"))?;
        let scratch = Scratch::map(&mut tracee, Code::find(pid)?, None)?;
        let mut program = Program::new();
        program.call_ok(libc::SYS_close_range, &[Arg::Imm(0), u32::MAX.into()], "close descriptors");
        for mapping in maps::parse(&mapped).filter(|mapping| mapping.write) {
            let range = [mapping.start.into(), (mapping.end - mapping.start).into()];
            if mapping.shared {
                program.call_ok(libc::SYS_munmap, &range, "unmap shared memory");
            } else {
                // Kept, for the kernel writes to the rseq area.
                let args = [range[0], range[1], libc::MADV_DONTNEED.into()];
                program.call_ok(libc::SYS_madvise, &args, "discard memory");
            }
        }
        let what = |of: &str| format!("take {of} to find out whether Landlock restricts a thread");
        let (users, groups) = ([user; 3].map(Arg::from), [group; 3].map(Arg::from));
        program.call_ok(libc::SYS_setresgid, &groups, what(&format!("group {group}")));
        program.call_ok(libc::SYS_setresuid, &users, what(&format!("user {user}")));
        Capabilities::default().set(&mut program);
        program.call_ok(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), Arg::Imm(1)], "become dumpable");
        tracee.run(&scratch, &program)?;
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // If somebody else has killed it, it is still to be waited for.
        let _ = guard::kill(self.pid, libc::SIGKILL);
        wait::await_ends(self.pid, [self.pid]);
    }
}

/// Asks a thread whether a domain restricts it.
pub struct AskLandlock(Option<CallId>);

impl AskLandlock {
    /// Adds the call.
    pub fn ask(program: &mut Program, thread: &Stopped, peers: &Peers) -> Self {
        AskLandlock(peers.of.get(&thread.tid()).map(|peer| {
            let (head, len) = (program.out(8), program.out(8));
            let args = [(*peer).into(), head.into(), len.into()];
            program.call_unchecked(libc::SYS_get_robust_list, &args, "look at a process of the same user")
        }))
    }

    /// Adds the reason to refuse the thread, if there is one.
    ///
    /// # Errors
    /// The look failed for another reason.
    pub fn answer(&self, outcome: &ProgramOutput, thread: &Stopped, problems: &mut Problems) -> Result<()> {
        let (pid, tid) = (thread.pid(), thread.tid());
        match self.0.map_or(0, |call| -outcome.result(call) as i32) {
            0 => Ok(()),
            libc::EPERM => {
                problems.push(Problem::of_thread(pid, tid, RESTRICTED));
                Ok(())
            }
            errno => Err(io::Error::from_raw_os_error(errno))
                .context(|| format!("look at a process of the same user from thread {tid} of {pid}")),
        }
    }
}
