//! pidfd_open(2): a process or thread.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::{Identity, Kind, Made, Once, Reference, Verbs, Way};
use crate::error::{Context, Error, Problem, Result};
use crate::sys::task::PIDFD_THREAD;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

/// What a pidfd refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pidfd {
    /// Id of the process or thread, which may be a zombie.
    pub id: i32,
    /// Of a thread (`PIDFD_THREAD`, Linux 6.9): it is readable when that ends, and what is sent
    /// through it is sent to that.
    pub thread: bool,
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    // `pidfs_dname` in fs/pidfs.c keeps the name that it had as an anonymous inode.
    let is = seen.link.0 == b"anon_inode:[pidfd]" || seen.link.0.starts_with(b"pidfd:[");
    is.then(|| Ok(Kind::Pidfd(Pidfd::default())))
}

impl Verbs for Pidfd {
    fn name(&self) -> &'static str {
        "pidfd"
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    /// It has no state that one of its users could change for another.
    fn is_shared_state(&self, _flags: i32) -> bool {
        false
    }

    fn refers_to(&self) -> Vec<Reference> {
        vec![if self.thread { Reference::Thread(self.id) } else { Reference::Process(self.id) }]
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let refuse = |why| Err(Error::unsupported(Problem::of(descriptor.at(), why)));
        let info = descriptor.info()?;
        if !is_known(info.flags) {
            // PIDFD_AUTOKILL is O_TRUNC (c8134b5f13ae, Linux 7.1).
            return refuse(
                " is a pidfd that kills its process on close (CLONE_PIDFD_AUTOKILL), or has flags unknown to cairn; start the job without them",
            );
        }
        self.thread = info.flags & PIDFD_THREAD != 0;
        let id = info.field("Pid").and_then(|id| id.parse().ok());
        match id {
            Some(id @ 1..) => self.id = id,
            Some(-1) => {
                return refuse(" is a pidfd of a process that has exited and been reaped; close it first");
            }
            Some(_) => {
                return refuse(" is a pidfd of a process in another PID namespace; close it first");
            }
            None => return refuse(" is a pidfd whose process /proc does not show"),
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if self.id > 0 { Ok(()) } else { Err(format!("a pidfd of process {}", self.id)) }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let mut flags = PidfdFlags::empty();
        if self.thread {
            flags |= PidfdFlags::from_bits_retain(PIDFD_THREAD as u32);
        }
        let pid = Pid::from_raw(self.id).expect("validated");
        let fd = pidfd_open(pid, flags).context(|| format!("open pidfd of {}", self.id))?;
        Ok(Box::new(Once::new(fd)))
    }
}

/// Whether a pidfd with these flags is nothing but a reference.
fn is_known(flags: i32) -> bool {
    flags & !(libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC | PIDFD_THREAD) == 0
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "pidfd-of-the-root",
        what: "every pidfd refers to the root process",
        commit: |r| {
            let root = r.root;
            for inode in &mut r.inodes {
                if let Kind::Pidfd(pidfd) = &mut inode.kind {
                    *pidfd = Pidfd { id: root, thread: false };
                }
            }
        },
    },
    crate::resource::fault::Fault {
        name: "pidfd-of-the-process",
        what: "a pidfd of a thread refers to its process",
        commit: |r| {
            let process = |r: &crate::resource::Records, tid: i32| {
                let mut alive = r.alive();
                let found = alive.find(|(_, alive)| alive.threads.iter().any(|thread| thread.tid == tid));
                found.map(|(process, _)| process.pid)
            };
            let whose: Vec<Option<i32>> = (r.inodes.iter())
                .map(|inode| match inode.kind {
                    Kind::Pidfd(Pidfd { id, thread: true }) => process(r, id),
                    _ => None,
                })
                .collect();
            for (inode, process) in r.inodes.iter_mut().zip(whose) {
                if let (Kind::Pidfd(pidfd), Some(id)) = (&mut inode.kind, process) {
                    *pidfd = Pidfd { id, thread: false };
                }
            }
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfd_that_kills_is_not_known() {
        let plain = libc::O_RDWR | libc::O_CLOEXEC;
        assert!(is_known(plain) && is_known(plain | libc::O_NONBLOCK | PIDFD_THREAD));
        const PIDFD_AUTOKILL: i32 = libc::O_TRUNC;
        assert!(!is_known(plain | PIDFD_AUTOKILL));
    }
}
