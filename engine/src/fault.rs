//! Planted faults: errors that the engine commits on request, so that the corpus can show that it
//! would notice. Only in builds with the feature `planted-faults`.
//!
//! A fault changes the records after they were captured: what is lost there is lost after the
//! restart.

use crate::arch;
use crate::resource::Records;
use crate::resource::fault::Fault;
use crate::resource::fd;
use crate::resource::ipc::ById;
use crate::resource::ipc::segment::Segment;
use crate::resource::mm::vma::{Backing, Vma, VmaFlag};
use crate::resource::process::{Alive, Life, State};
use crate::resource::thread::Thread;
use crate::resource::thread::seccomp::Seccomp;
use crate::resource::timer::IntervalTimers;
use std::collections::{HashMap, HashSet};

/// Names the fault to commit.
pub const VARIABLE: &str = "CAIRN_FAULT";

fn each(records: &mut Records, change: impl Fn(&mut Alive)) {
    for process in &mut records.processes {
        if let Life::Alive(alive) = &mut process.life {
            change(alive);
        }
    }
}

fn segments(records: &mut Records, change: impl Fn(&mut Segment)) {
    records.shared.iter_mut().filter_map(|object| object.segment.as_mut()).for_each(change);
}

/// Leaves the contents of some mappings out.
fn forget_pages(records: &mut Records, which: impl Fn(&Vma) -> bool) {
    each(records, |alive| {
        let lost: Vec<_> =
            alive.memory.vmas.iter().filter(|vma| which(vma)).map(|vma| vma.start..vma.end).collect();
        alive.memory.pages.retain(|extent| !lost.iter().any(|range| range.contains(&extent.start)));
    });
}

/// All faults, but those of registers, that are not listed with what they are about.
const FAULTS: &[Fault] = &[
    Fault {
        name: "pending-process-forgotten",
        what: "signals pending for the process are lost",
        commit: |r| each(r, |a| a.pending.clear()),
    },
    Fault {
        name: "pending-thread-forgotten",
        what: "signals pending for a thread are lost",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.pending.clear())),
    },
    Fault {
        name: "pending-reversed",
        what: "pending signals are reordered",
        commit: |r| each(r, |a| a.pending.reverse()),
    },
    Fault {
        name: "leader-status-forgotten",
        what: "main threads that have ended have exited with 0",
        commit: |r| each(r, |a| a.leader.iter_mut().for_each(|leader| leader.status = 0)),
    },
    Fault {
        name: "leader-name-forgotten",
        what: "main threads that have ended have the name of another",
        commit: |r| {
            each(r, |a| {
                let name = a.threads[0].comm.clone();
                a.leader.iter_mut().for_each(|leader| leader.comm = name.clone());
            })
        },
    },
    Fault {
        name: "mask-forgotten",
        what: "no signal is blocked",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.sigmask = 0)),
    },
    Fault {
        name: "altstack-forgotten",
        what: "no alternate signal stack",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.altstack = None)),
    },
    Fault {
        name: "actions-forgotten",
        what: "signal actions are reset to the default",
        commit: |r| each(r, |a| a.actions.clear()),
    },
    Fault {
        name: "posix-timers-forgotten",
        what: "no POSIX timers",
        commit: |r| each(r, |a| a.posix_timers.clear()),
    },
    Fault {
        name: "interval-timers-forgotten",
        what: "no interval timers",
        commit: |r| each(r, |a| a.interval_timers = Default::default()),
    },
    Fault {
        name: "shared-memory-lost",
        what: "shared memory comes back as zeros",
        commit: |r| r.shared.iter_mut().for_each(|s| s.content.clear()),
    },
    Fault {
        name: "cloexec-forgotten",
        what: "close-on-exec flags are lost",
        commit: |r| each(r, |a| a.fds.iter_mut().for_each(|f| f.cloexec = false)),
    },
    Fault { name: "umask-forgotten", what: "the umask is 022", commit: |r| each(r, |a| a.umask = 0o022) },
    Fault {
        name: "table-split",
        what: "processes that share a descriptor table get one each",
        commit: |r| {
            let tables: Vec<_> = r.alive().map(|(p, a)| (p.pid, r.table_of(a).to_vec())).collect();
            let mut tables = tables.into_iter().collect::<HashMap<_, _>>();
            for process in &mut r.processes {
                if let Life::Alive(alive) = &mut process.life {
                    alive.fds = tables.remove(&process.pid).unwrap_or_default();
                    alive.files_of = None;
                }
            }
        },
    },
    Fault {
        name: "directories-split",
        what: "processes that share working directory and umask get their own",
        commit: |r| each(r, |a| a.fs_of = None),
    },
    Fault {
        name: "memory-split",
        what: "processes that share memory get a copy each",
        commit: |r| {
            let all: HashMap<_, _> = r.alive().map(|(p, a)| (p.pid, r.memory_of(a).clone())).collect();
            let memory = |pid: i32| all[&pid].clone();
            for process in &mut r.processes {
                if let Life::Alive(alive) = &mut process.life
                    && alive.memory_of.take().is_some()
                {
                    alive.memory = memory(process.pid);
                    // Who has the actions of another has its memory, too (CLONE_SIGHAND).
                    alive.actions_of = None;
                }
            }
        },
    },
    Fault {
        name: "actions-split",
        what: "processes that share signal actions get their own",
        commit: |r| {
            let all: HashMap<_, _> = r.alive().map(|(p, a)| (p.pid, a.actions.clone())).collect();
            each(r, |a| {
                if let Some(first) = a.actions_of.take() {
                    a.actions = all[&first].clone();
                }
            });
        },
    },
    Fault {
        name: "clear-tid-forgotten",
        what: "no futex is woken when a thread exits",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.clear_child_tid = 0)),
    },
    Fault {
        name: "robust-list-forgotten",
        what: "robust mutexes are not released",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.robust_list = (0, 0))),
    },
    Fault {
        name: "rseq-forgotten",
        what: "restartable sequences are not registered",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.rseq = None)),
    },
    Fault {
        name: "stop-forgotten",
        what: "stopped processes run",
        commit: |r| each(r, |a| a.state = State::Running),
    },
    Fault {
        name: "subreaper-forgotten",
        what: "orphans are reparented elsewhere",
        commit: |r| each(r, |a| a.subreaper = false),
    },
    Fault {
        name: "zombie-status-lost",
        what: "zombies have exit status 0",
        commit: |r| {
            for process in &mut r.processes {
                if let Life::Zombie(zombie) = &mut process.life {
                    zombie.status = 0;
                }
            }
        },
    },
    Fault {
        name: "madvise-forgotten",
        what: "mappings lose their flags",
        commit: |r| each(r, |a| a.memory.vmas.iter_mut().for_each(|v| v.flags.clear())),
    },
    Fault {
        name: "huge-pages-lost",
        what: "private huge pages come back as zeros",
        commit: |r| forget_pages(r, |vma| matches!(vma.backing, Backing::HugeAnonymous { .. })),
    },
    Fault {
        name: "written-file-pages-lost",
        what: "private pages of file mappings come back with the contents of the file",
        commit: |r| forget_pages(r, |vma| matches!(vma.backing, Backing::File { shared: false, .. })),
    },
    Fault {
        name: "last-page-lost",
        what: "the last page of every mapping is not saved",
        commit: |r| {
            each(r, |alive| {
                let ends: HashSet<u64> = alive.memory.vmas.iter().map(|vma| vma.end).collect();
                for extent in &mut alive.memory.pages {
                    if ends.contains(&(extent.start + extent.len)) {
                        extent.len -= crate::sys::page_size();
                    }
                }
                alive.memory.pages.retain(|extent| extent.len > 0);
            });
        },
    },
    Fault {
        name: "sharing-forgotten",
        what: "descriptors from dup and fork have separate file offsets",
        commit: |r| {
            let files = &mut r.files;
            for process in &mut r.processes {
                let Life::Alive(alive) = &mut process.life else { continue };
                for fd in &mut alive.fds {
                    files.push(files[fd.file].clone());
                    fd.file = files.len() - 1;
                }
            }
        },
    },
    Fault {
        name: "groups-merged",
        what: "all processes are in the process group of the root",
        commit: |r| {
            let root = r.processes.first().map_or(0, |process| process.pgid);
            r.processes.iter_mut().filter(|p| p.sid != p.pid).for_each(|p| p.pgid = root);
        },
    },
    Fault {
        name: "zombies-forgotten",
        what: "zombies are missing",
        commit: |r| r.processes.retain(|p| matches!(p.life, Life::Alive(_))),
    },
    Fault {
        name: "limits-forgotten",
        what: "resource limits are those of cairn",
        commit: |r| each(r, |a| a.rlimits.clear()),
    },
    Fault {
        name: "capabilities-kept",
        what: "dropped capabilities come back",
        commit: |r| {
            each(r, |a| {
                for caps in a.threads.iter_mut().map(|t| &mut t.creds.capabilities) {
                    (caps.effective, caps.permitted) = (caps.bounding, caps.bounding);
                }
            });
        },
    },
    Fault {
        name: "nice-forgotten",
        what: "every thread has nice value 0",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.sched.nice = 0)),
    },
    Fault {
        name: "session-nice-forgotten",
        what: "sessions have nice value 0",
        commit: |r| each(r, |a| a.session_nice = 0),
    },
    Fault {
        name: "controls-forgotten",
        what: "prctl(2) settings are those of a new program",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.controls.clear())),
    },
    Fault {
        name: "timer-period-lost",
        what: "periodic timers fire once",
        commit: |r| {
            each(r, |a| {
                let IntervalTimers { real, virt, prof } = &mut a.interval_timers;
                let posix = a.posix_timers.iter_mut().map(|t| &mut t.setting);
                [real, virt, prof].into_iter().chain(posix).for_each(|setting| setting.interval = 0);
            });
        },
    },
    Fault {
        name: "membarrier-forgotten",
        what: "no process is registered for membarrier(2)",
        commit: |r| each(r, |a| a.memory.membarrier = Default::default()),
    },
    Fault {
        name: "range-policies-forgotten",
        what: "mappings lose their memory policies",
        commit: |r| each(r, |a| a.memory.vmas.iter_mut().for_each(|v| v.policy = None)),
    },
    Fault {
        name: "thread-policies-forgotten",
        what: "threads have the default memory policy",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.policy = None)),
    },
    Fault {
        name: "private-of-shared-parted",
        what: "private mappings of shared memory are shared",
        commit: |r| {
            each(r, |a| {
                for vma in &mut a.memory.vmas {
                    if let Backing::Shared { private, .. } = &mut vma.backing {
                        *private = false;
                    }
                }
            });
        },
    },
    Fault {
        name: "write-execute-allowed",
        what: "memory can be writable and executable again",
        commit: |r| each(r, |a| a.memory.deny_write_execute = 0),
    },
    Fault {
        name: "merging-forgotten",
        what: "equal pages are not merged",
        commit: |r| each(r, |a| a.memory.merge = false),
    },
    Fault {
        name: "io-flusher-forgotten",
        what: "no thread is an I/O flusher",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.io_flusher = false)),
    },
    Fault {
        name: "clamps-forgotten",
        what: "no thread has utilisation clamps",
        commit: |r| {
            each(r, |a| a.threads.iter_mut().for_each(|t| (t.sched.util_min, t.sched.util_max) = (0, 0)))
        },
    },
    Fault {
        name: "continuation-forgotten",
        what: "continuations are not reported to parents (WCONTINUED)",
        commit: |r| each(r, |a| a.continued = false),
    },
    Fault {
        name: "asynchronous-forgotten",
        what: "asynchronous I/O is disabled (O_ASYNC)",
        commit: |r| r.files.iter_mut().for_each(|f| f.flags &= !libc::O_ASYNC),
    },
    Fault {
        name: "owners-forgotten",
        what: "owners of asynchronous I/O are lost",
        commit: |r| r.files.iter_mut().for_each(|f| f.owner = None),
    },
    Fault {
        name: "exit-signals-forgotten",
        what: "the exit signal of every child is SIGCHLD",
        commit: |r| r.processes.iter_mut().for_each(|p| p.exit_signal = libc::SIGCHLD),
    },
    Fault {
        name: "attributes-lost",
        what: "unlinked files lose their extended attributes",
        commit: |r| r.inodes.iter_mut().filter_map(|i| i.unlinked.as_mut()).for_each(|u| u.xattrs.clear()),
    },
    Fault {
        name: "inode-flags-lost",
        what: "unlinked files lose their flags (chattr)",
        commit: |r| r.inodes.iter_mut().filter_map(|i| i.unlinked.as_mut()).for_each(|u| u.flags = 0),
    },
    Fault {
        name: "sessions-joined",
        what: "all processes are in the session and group of the restarting process",
        commit: |r| r.processes.iter_mut().for_each(|p| (p.pgid, p.sid) = (0, 0)),
    },
    Fault {
        name: "semaphore-value-lost",
        what: "the last semaphore of every set is 0",
        commit: |r| {
            for by_id in &mut r.sysv {
                if let ById::Semaphores(semaphores) = by_id
                    && let Some(last) = semaphores.values.last_mut()
                {
                    *last = 0;
                }
            }
        },
    },
    Fault {
        name: "message-lost",
        what: "the first message of every System V queue is lost",
        commit: |r| {
            for by_id in &mut r.sysv {
                if let ById::Queue(queue) = by_id
                    && !queue.messages.is_empty()
                {
                    queue.messages.remove(0);
                }
            }
        },
    },
    Fault {
        name: "segment-still-there",
        what: "System V shared memory that was removed is there again",
        commit: |r| segments(r, |segment| segment.removed = false),
    },
    Fault {
        name: "segment-mode-lost",
        what: "System V shared memory has other permissions",
        commit: |r| segments(r, |segment| segment.permissions.mode = 0o600),
    },
    Fault {
        name: "segment-unlocked",
        what: "System V shared memory is not locked any more",
        commit: |r| segments(r, |segment| segment.locked = false),
    },
    Fault {
        name: "segment-writable",
        what: "System V shared memory that was attached to be read can be written",
        commit: |r| {
            each(r, |a| {
                for vma in &mut a.memory.vmas {
                    if let Backing::Segment { read_only, .. } = &mut vma.backing {
                        *read_only = false;
                    }
                }
            });
        },
    },
    Fault {
        name: "seccomp-forgotten",
        what: "no thread is restricted by seccomp",
        commit: |r| each(r, |a| a.threads.iter_mut().for_each(|t| t.seccomp = None)),
    },
    Fault {
        name: "seccomp-filter-forgotten",
        what: "the newest of several seccomp filters of a thread is lost",
        commit: |r| {
            each(r, |a| {
                let chains = a.threads.iter_mut().filter_map(|t| match &mut t.seccomp {
                    Some(Seccomp::Filters(chain)) if chain.len() > 1 => Some(chain),
                    _ => None,
                });
                chains.for_each(|chain| chain.truncate(chain.len() - 1));
            });
        },
    },
    Fault {
        name: "locks-forgotten",
        what: "no memory is locked",
        commit: |r| {
            each(r, |a| {
                let locked = |flag: &VmaFlag| matches!(flag, VmaFlag::Locked | VmaFlag::LockedOnFault);
                a.memory.vmas.iter_mut().for_each(|v| v.flags.retain(|flag| !locked(flag)));
            });
        },
    },
];

/// Those of memory tags, where there are any.
const OF_TAGS: &[Fault] = if arch::MEMORY_TAGS {
    &[Fault {
        name: "memory-tags-lost",
        what: "all memory tags are 0",
        commit: |r| each(r, |a| a.memory.tags.clear()),
    }]
} else {
    &[]
};

fn all() -> impl Iterator<Item = &'static Fault> {
    fd::FAULTS.iter().copied().flatten().chain(FAULTS).chain(OF_TAGS)
}

/// Commits the fault that the environment names.
///
/// # Panics
/// When there is no fault of that name.
pub fn commit(records: &mut Records) {
    let Some(name) = std::env::var_os(VARIABLE) else { return };
    if let Some(fault) = all().find(|f| *name == *f.name) {
        (fault.commit)(records);
    } else if let Some(fault) = arch::FAULTS.iter().find(|f| *name == *f.name) {
        each(records, |alive| {
            for (place, thread) in alive.threads.iter_mut().enumerate() {
                let Thread { regs, extended, .. } = thread;
                extended.iter_mut().for_each(|set| (fault.spoil)(place, regs, set.note, &mut set.data.0));
            }
        });
    } else {
        panic!("no fault {}", name.display());
    }
}

/// All faults as text: a line for each, or a JSON array.
pub fn list(json: bool) -> String {
    let of_registers = arch::FAULTS.iter().map(|f| (f.name, f.what));
    let every = of_registers.chain(all().map(|f| (f.name, f.what)));
    if json {
        let entry = |(name, what)| serde_json::json!({ "name": name, "what": what, "phase": "checkpoint" });
        return serde_json::Value::Array(every.map(entry).collect()).to_string();
    }
    every.map(|(name, what)| format!("{name:28} {what}")).collect::<Vec<_>>().join("\n")
}
