//! System V objects. They belong to an IPC namespace and stay until they are removed, whether
//! somebody uses them or not (sysvipc(7)).

pub mod queue;
pub mod segment;
pub mod semaphores;

use crate::error::{Context, Error, Result};
use crate::resource::created::Created;
use crate::sys::sysv;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io;
use std::str::FromStr;

/// Id, owner and permissions, `struct kern_ipc_perm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// The id that the kernel gave it.
    pub id: i32,
    /// The key that it was created with, `IPC_PRIVATE` (0) for none.
    pub key: i32,
    /// User and group id of the owner.
    pub owner: (u32, u32),
    /// User and group id of the creator.
    pub creator: (u32, u32),
    /// Permission bits.
    pub mode: u32,
}

impl Permissions {
    fn of(id: i32, found: &sysv::Permissions) -> Self {
        let sysv::Permissions { key, owner, creator, mode } = *found;
        Permissions { id, key, owner, creator, mode: mode & 0o777 }
    }

    fn label(&self, kind: &str) -> String {
        format!("System V {kind} {} (key {:#010x})", self.id, self.key)
    }

    fn validate(&self) -> Result<(), String> {
        if self.id >= 0 && self.mode <= 0o777 { Ok(()) } else { Err("invalid id or mode".into()) }
    }
}

/// The name of an object, as the user gives it: `shm:3`, `sem:0`, `msg:7`. Nothing shows which
/// processes use semaphores, a queue, or shared memory that is not attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Shared memory.
    Segment(i32),
    /// A set of semaphores.
    Semaphores(i32),
    /// A message queue.
    Queue(i32),
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected shm:ID, sem:ID or msg:ID, with an id that `ipcs` shows";
        let (kind, id) = text.split_once(':').ok_or(expected)?;
        let id: i32 = id.parse().ok().filter(|id| *id >= 0).ok_or(expected)?;
        match kind {
            "shm" => Ok(Name::Segment(id)),
            "sem" => Ok(Name::Semaphores(id)),
            "msg" => Ok(Name::Queue(id)),
            _ => Err(expected.into()),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Segment(id) => write!(f, "shm:{id}"),
            Name::Semaphores(id) => write!(f, "sem:{id}"),
            Name::Queue(id) => write!(f, "msg:{id}"),
        }
    }
}

/// The objects in our IPC namespace that nothing ties to their users, and that one of `pids` was
/// the last to use. `semaphores` are the users of semaphores, with the ids of the sets.
pub fn used_last(pids: &HashSet<i32>, semaphores: &[(i32, i32)]) -> BTreeSet<Name> {
    // One that we may not read is another user's; one that is gone is nobody's.
    let is_ours = |users: &[i32]| users.iter().any(|pid| pids.contains(pid));
    let is_segment = |id: &i32| {
        sysv::segment(*id).is_ok_and(|stat| stat.attached == 0 && is_ours(&[stat.creator, stat.last_user]))
    };
    let is_queue = |id: &i32| sysv::queue(*id).is_ok_and(|stat| is_ours(&stat.last_users));
    let segments = ids("shm").into_iter().filter(is_segment).map(Name::Segment);
    let queues = ids("msg").into_iter().filter(is_queue).map(Name::Queue);
    let sets = semaphores.iter().filter(|(_, user)| is_ours(&[*user])).map(|(set, _)| Name::Semaphores(*set));
    segments.chain(queues).chain(sets).collect()
}

/// An object that is used by its id only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ById {
    /// A set of semaphores.
    Semaphores(semaphores::Semaphores),
    /// A message queue.
    Queue(queue::Queue),
}

impl ById {
    /// What it is.
    pub fn object(&self) -> &dyn Object {
        match self {
            ById::Semaphores(semaphores) => semaphores,
            ById::Queue(queue) => queue,
        }
    }
}

/// How an object is found and created.
pub trait Object {
    /// Id, owner and permissions.
    fn permissions(&self) -> &Permissions;
    /// Its kind in messages, and the option of ipcrm(1) for it.
    fn kind(&self) -> (&'static str, &'static str);
    /// The object that has an id, and why it is not this one, left behind by its job, apart from
    /// key and creator.
    ///
    /// # Errors
    /// EINVAL, EIDRM if there is none.
    fn find(&self, id: i32) -> io::Result<(sysv::Permissions, Option<String>)>;
    /// Whether the limits of this machine allow what is in it.
    ///
    /// # Errors
    /// Which one does not.
    fn fits(&self) -> Result<(), String> {
        Ok(())
    }
    /// The id of the object that has a key.
    ///
    /// # Errors
    /// ENOENT if there is none.
    fn of_key(&self, key: i32) -> io::Result<i32>;
    /// Creates one, with flags as for semget(2).
    ///
    /// # Errors
    /// As semget(2).
    fn create(&self, flags: i32) -> io::Result<i32>;
    /// The name of its kind in /proc/sysvipc and of kernel.*_next_id.
    fn listed(&self) -> &'static str;
    /// What removes one.
    fn remove(&self) -> fn(i32) -> io::Result<()>;
    /// Sets its contents, owner and permissions.
    ///
    /// # Errors
    /// *conflict* if somebody outside uses it; what the kernel reports.
    fn fill(&self) -> Result<()>;
    /// Checks a record.
    ///
    /// # Errors
    /// What is wrong.
    fn validate(&self) -> Result<(), String>;
}

impl dyn Object + '_ {
    fn id(&self) -> i32 {
        self.permissions().id
    }

    /// Its name in messages.
    pub fn label(&self) -> String {
        self.permissions().label(self.kind().0)
    }

    /// Whether the object is still there, left behind by the job.
    ///
    /// # Errors
    /// *conflict* if its id or key is another's.
    pub fn is_there(&self) -> Result<bool> {
        let Permissions { id, key, creator, .. } = self.permissions();
        let (label, option) = (self.label(), self.kind().1);
        self.fits().map_err(|why| Error::Conflict(format!("{label}: {why}")))?;
        match self.find(*id) {
            Ok((found, difference)) => {
                let difference = if found.key != *key {
                    Some(format!("has key {:#010x}", found.key))
                } else if found.creator != *creator {
                    Some(format!("was created by user {}", found.creator.0))
                } else {
                    difference
                };
                let Some(difference) = difference else { return Ok(true) };
                return Err(Error::Conflict(format!(
                    "{label}: its id is in use, by one that {difference}; end its users and remove it (ipcrm {option} {id})"
                )));
            }
            Err(err) if is_absent(&err) => {}
            Err(err) => return Err(err).context(|| format!("describe {label}")),
        }
        if *key == libc::IPC_PRIVATE {
            return Ok(false);
        }
        match self.of_key(*key) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Ok(other) => Err(Error::Conflict(format!(
                "{label}: its key is in use, by {other}; end its users and remove it (ipcrm {option} {other})"
            ))),
            Err(err) => Err(err).context(|| format!("look for {label}")),
        }
    }

    /// Checks a record.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.permissions().validate().and_then(|()| self.validate())
    }
}

/// Creates an object, unless it is there.
///
/// # Errors
/// As [`is_there`](Object::is_there); *conflict* for a limit of the kernel; *denied*.
pub fn ensure(object: &dyn Object, created: &mut Created) -> Result<()> {
    if object.is_there()? {
        return Ok(());
    }
    create_with_id(object).map_err(|err| explain(err, &object.label()))?;
    let (id, remove) = (object.id(), object.remove());
    created.add(move || remove(id));
    Ok(())
}

/// Whether there is no object of this id.
pub fn is_absent(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::EINVAL | libc::EIDRM))
}

/// Makes a conflict of what the kernel cannot create.
fn explain(err: Error, label: &str) -> Error {
    let Error::Failed { what, source } = err else { return err };
    let why = match source.raw_os_error() {
        Some(libc::EEXIST) => "its key is in use",
        Some(libc::ENOSPC) => {
            "no room for it: `ipcs -l` shows the limits, sysctl(8) raises them (kernel.shmmni, kernel.shmall, kernel.sem, kernel.msgmni)"
        }
        Some(libc::EINVAL) => {
            "larger than the kernel allows: `ipcs -l` shows the limits, sysctl(8) raises them (kernel.shmmax, kernel.sem)"
        }
        Some(libc::ENOMEM) => "no memory, or no huge pages, for it",
        _ => return Error::Failed { what, source },
    };
    Error::Conflict(format!("{label}: {why}"))
}

/// The ids of the objects of a kind.
fn ids(kind: &str) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse().ok()).collect()
}

/// Creates an object with its id: the kernel takes the next one from /proc/sys/kernel/*_next_id
/// (ipc/util.c, `ipc_idr_alloc`), and a higher one if its place is in use. The creator is who it
/// was.
///
/// # Errors
/// *denied* without the right to choose ids: root, on newer kernels CAP_CHECKPOINT_RESTORE
/// (ipc/ipc_sysctl.c, `ipc_permissions`); *conflict* if the place is in use; EEXIST for the key.
fn create_with_id(object: &dyn Object) -> Result<()> {
    /// Whoever creates an object in between gets the id that was meant for ours.
    const ATTEMPTS: usize = 100;
    /// The place is in the lower bits of an id (`ipcmni_seq_shift`), without `ipcmni_extend`.
    const PLACES: i32 = 1 << 15;
    let Permissions { id, creator, .. } = object.permissions();
    let next_id = format!("/proc/sys/kernel/{}_next_id", object.listed());
    let create = || object.create(libc::IPC_CREAT | libc::IPC_EXCL | 0o600);
    for _ in 0..ATTEMPTS {
        std::fs::write(&next_id, id.to_string())
            .context(|| format!("write {next_id} (needs CONFIG_CHECKPOINT_RESTORE)"))?;
        let created = sysv::as_creator(*creator, create).and_then(|created| created);
        let got = created.context(|| format!("create {}", object.label()))?;
        if got == *id {
            return Ok(());
        }
        (object.remove())(got).context(|| format!("remove {got}"))?;
    }
    let (option, label) = (object.kind().1, object.label());
    let is_there = |other: &i32| other % PLACES == id % PLACES;
    let remedy = match ids(object.listed()).into_iter().find(is_there) {
        Some(other) => {
            format!("object {other} has its place in the table: remove that (ipcrm {option} {other})")
        }
        None => "others have its place in the table all the time: try again".into(),
    };
    Err(Error::Conflict(format!(
        "{label}: {remedy}, or restart in an IPC namespace of its own (unshare --ipc)"
    )))
}
