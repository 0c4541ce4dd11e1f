//! The records, one file for each kernel object: its plain data, how it is captured, and the steps
//! that rebuild it.
//!
//! Records are values: no descriptors of ours, no pointers, no run-time state. Tables refer to each
//! other by index.

pub mod attributes;
pub mod bytes;
pub mod cgroup;
pub mod clock;
pub mod created;

/// Whether a field has the value that is read where it is absent: it need not be written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(feature = "planted-faults")]
pub mod fault;
pub mod fd;
pub mod identity;
pub mod ipc;
pub mod mm;
pub mod process;
pub mod refused;
pub mod signal;
pub mod thread;
pub mod timer;
pub mod tty;
pub mod validate;

use crate::image::Schemas;
use cgroup::Group;
use fd::description::OpenFile;
use fd::inode::Inode;
use fd::table::Fd;
use ipc::ById;
use ipc::segment::Segment;
use mm::shared::SharedMemory;
use process::{Life, Process};
use serde::{Deserialize, Serialize};

/// The contents of a context file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The process that was to be saved, or the first one of the group or session.
    pub root: i32,
    /// Host name as in uname(2); empty in older files.
    #[serde(default)]
    pub host: String,
    /// The clocks at the checkpoint; `None` in older files.
    #[serde(default)]
    pub clocks: Option<clock::Clocks>,
    /// Parents before children, then by PID.
    pub processes: Vec<Process>,
    /// Open file descriptions.
    pub files: Vec<OpenFile>,
    /// The inodes they are open on.
    pub inodes: Vec<Inode>,
    /// Shared memory without a file.
    pub shared: Vec<SharedMemory>,
    /// System V objects that are used by their ids only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sysv: Vec<ById>,
    /// The control groups that its threads are in, and those above them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cgroups: Vec<Group>,
}

impl Schemas for Records {
    const SCHEMAS: &'static [(&'static str, u32)] = &[
        ("processes", 3),
        ("threads", 2),
        ("memory", 3),
        ("files", 2),
        ("inodes", 3),
        ("shared", 2),
        ("sysv", 1),
        ("cgroups", 1),
    ];
}

impl Records {
    /// Whether a thread is restricted by seccomp(2).
    pub fn has_seccomp(&self) -> bool {
        self.alive().any(|(_, alive)| alive.threads.iter().any(|thread| thread.seccomp.is_some()))
    }

    /// Whether there is anything that is joined to others ([`fd::Verbs::joins`]).
    pub fn joins(&self) -> bool {
        self.inodes.iter().any(|inode| inode.kind.verbs().joins())
    }

    /// The object of an open file description.
    pub fn kind(&self, file: usize) -> &fd::Kind {
        &self.inodes[self.files[file].inode].kind
    }

    /// System V shared memory.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.shared.iter().filter_map(|object| object.segment.as_ref())
    }

    /// All processes but zombies.
    pub fn alive(&self) -> impl Iterator<Item = (&Process, &process::Alive)> {
        self.processes.iter().filter_map(|p| match &p.life {
            Life::Alive(alive) => Some((p, &**alive)),
            Life::Zombie(_) => None,
        })
    }

    /// The descriptor table of a process, its own or that of an earlier one.
    pub fn table_of<'a>(&'a self, alive: &'a process::Alive) -> &'a [Fd] {
        let Some(first) = alive.files_of else { return &alive.fds };
        let first = self.alive().find(|(process, _)| process.pid == first);
        first.map_or(&[], |(_, first)| &first.fds)
    }

    /// The address space of a process, its own or that of an earlier one.
    pub fn memory_of<'a>(&'a self, alive: &'a process::Alive) -> &'a mm::Memory {
        let Some(first) = alive.memory_of else { return &alive.memory };
        let first = self.alive().find(|(process, _)| process.pid == first);
        first.map_or(&alive.memory, |(_, first)| &first.memory)
    }

    /// Number of threads and zombies.
    pub fn tasks(&self) -> usize {
        let zombies = self.processes.len() - self.alive().count();
        zombies + self.alive().map(|(_, alive)| alive.threads.len()).sum::<usize>()
    }
}
