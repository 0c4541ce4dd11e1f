//! System V IPC (sysvipc(7)) in our IPC namespace.

use super::cvt;
use rustix::process::{Gid, Uid, getegid, geteuid, getgid, getuid};
use rustix::thread::{
    CapabilitiesSecureBits, capabilities_secure_bits, set_capabilities_secure_bits, set_thread_res_gid,
    set_thread_res_uid,
};
use std::io;
use std::mem::zeroed;

/// Owner and permissions of an object, `struct ipc64_perm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// `IPC_PRIVATE` (0) for none.
    pub key: i32,
    /// Owner.
    pub owner: (u32, u32),
    /// Creator, as user and group id.
    pub creator: (u32, u32),
    /// Permissions, and flags of its kind.
    pub mode: u32,
}

impl Permissions {
    fn of(perm: &libc::ipc_perm) -> Self {
        Permissions {
            key: perm.__key,
            owner: (perm.uid, perm.gid),
            creator: (perm.cuid, perm.cgid),
            mode: perm.mode as u32,
        }
    }
}

/// Shared memory, `struct shmid64_ds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentStat {
    /// Owner and permissions.
    pub permissions: Permissions,
    /// Size in bytes, as asked for.
    pub size: u64,
    /// How many mappings it has.
    pub attached: u64,
    /// PID of the process that created it.
    pub creator: i32,
    /// PID of the last process that attached or detached it.
    pub last_user: i32,
}

fn stat(id: i32) -> io::Result<libc::shmid_ds> {
    // SAFETY: all zeros is valid for this structure of numbers.
    let mut stat = unsafe { zeroed() };
    // SAFETY: the result is live.
    cvt(unsafe { libc::shmctl(id, libc::IPC_STAT, &mut stat) }.into())?;
    Ok(stat)
}

/// Describes shared memory (`IPC_STAT`).
///
/// # Errors
/// EINVAL if there is none of this id; EACCES without read permission.
pub fn segment(id: i32) -> io::Result<SegmentStat> {
    let stat = stat(id)?;
    Ok(SegmentStat {
        permissions: Permissions::of(&stat.shm_perm),
        size: stat.shm_segsz as u64,
        attached: stat.shm_nattch as u64,
        creator: stat.shm_cpid,
        last_user: stat.shm_lpid,
    })
}

/// The id of the shared memory with a key, or new shared memory with `IPC_CREAT` (shmget(2)).
///
/// # Errors
/// As shmget(2).
pub fn get_segment(key: i32, size: u64, flags: i32) -> io::Result<i32> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::shmget(key, size as usize, flags) }.into()).map(|id| id as i32)
}

/// Sets owner and permissions of shared memory (`IPC_SET`).
///
/// # Errors
/// As shmctl(2).
pub fn set_segment(id: i32, owner: (u32, u32), mode: u32) -> io::Result<()> {
    let mut stat = stat(id)?;
    (stat.shm_perm.uid, stat.shm_perm.gid) = owner;
    stat.shm_perm.mode = mode as _;
    // SAFETY: the structure is live.
    cvt(unsafe { libc::shmctl(id, libc::IPC_SET, &mut stat) }.into()).map(drop)
}

/// Removes shared memory, when nobody is attached to it any more (`IPC_RMID`).
///
/// # Errors
/// As shmctl(2).
pub fn remove_segment(id: i32) -> io::Result<()> {
    // SAFETY: this command has no argument.
    cvt(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }.into()).map(drop)
}

/// Keeps shared memory out of swap, or not (`SHM_LOCK`, `SHM_UNLOCK`).
///
/// # Errors
/// As shmctl(2).
pub fn lock_segment(id: i32, locked: bool) -> io::Result<()> {
    let command = if locked { libc::SHM_LOCK } else { libc::SHM_UNLOCK };
    // SAFETY: these commands have no argument.
    cvt(unsafe { libc::shmctl(id, command, std::ptr::null_mut()) }.into()).map(drop)
}

/// Calls `create` with these effective ids in the calling thread, and its capabilities: an object
/// records who created it.
///
/// # Errors
/// EPERM without CAP_SETUID, CAP_SETGID and CAP_SETPCAP, if the ids are others than ours.
pub fn as_creator<T>((uid, gid): (u32, u32), create: impl FnOnce() -> T) -> io::Result<T> {
    let (own_uid, own_gid) = (geteuid(), getegid());
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if (uid, gid) == (own_uid, own_gid) {
        return Ok(create());
    }
    let become_one = |uid: Uid, gid: Gid| -> io::Result<()> {
        // The real and the saved ids stay ours, so that there is a way back.
        set_thread_res_gid(getgid(), gid, own_gid)?;
        Ok(set_thread_res_uid(getuid(), uid, own_uid)?)
    };
    let bits = capabilities_secure_bits()?;
    set_capabilities_secure_bits(bits | CapabilitiesSecureBits::NO_SETUID_FIXUP)?;
    let created = become_one(uid, gid).map(|()| create());
    become_one(own_uid, own_gid)?;
    set_capabilities_secure_bits(bits)?;
    created
}

/// A set of semaphores, `struct semid64_ds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SemaphoresStat {
    /// Owner and permissions.
    pub permissions: Permissions,
    /// How many semaphores there are.
    pub count: usize,
    /// When semop(2) last succeeded, in seconds since the epoch; 0 if it never has.
    pub last_operation: i64,
}

/// semctl(2) with a pointer.
fn semctl<T>(id: i32, command: i32, argument: *mut T) -> io::Result<()> {
    // SAFETY: callers pass what the command reads or writes.
    cvt(unsafe { libc::semctl(id, 0, command, argument) }.into()).map(drop)
}

fn stat_semaphores(id: i32) -> io::Result<libc::semid_ds> {
    // SAFETY: all zeros is valid for this structure of numbers.
    let mut stat = unsafe { zeroed() };
    semctl(id, libc::IPC_STAT, &mut stat)?;
    Ok(stat)
}

/// Describes a set of semaphores (`IPC_STAT`).
///
/// # Errors
/// As semctl(2).
pub fn semaphores(id: i32) -> io::Result<SemaphoresStat> {
    let stat = stat_semaphores(id)?;
    Ok(SemaphoresStat {
        permissions: Permissions::of(&stat.sem_perm),
        count: stat.sem_nsems as usize,
        last_operation: stat.sem_otime as i64,
    })
}

/// The value of each semaphore (`GETALL`).
///
/// # Errors
/// As semctl(2).
pub fn values(id: i32) -> io::Result<Vec<u16>> {
    // The number in a set never changes.
    let mut values = vec![0u16; semaphores(id)?.count];
    semctl(id, libc::GETALL, values.as_mut_ptr())?;
    Ok(values)
}

/// PID of the last user of a System V semaphore (semctl(2), `GETPID`).
pub fn semaphore_user(set: i32, number: i32) -> io::Result<i32> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::semctl(set, number, libc::GETPID) }.into()).map(|pid| pid as i32)
}

/// How many processes wait for one of the first `count` semaphores (`GETNCNT`, `GETZCNT`).
///
/// # Errors
/// As semctl(2).
pub fn waiting(id: i32, count: usize) -> io::Result<usize> {
    let mut all = 0;
    for number in 0..count as i32 {
        for command in [libc::GETNCNT, libc::GETZCNT] {
            // SAFETY: these commands have no argument.
            all += cvt(unsafe { libc::semctl(id, number, command) }.into())? as usize;
        }
    }
    Ok(all)
}

/// Sets the value of each semaphore (`SETALL`).
///
/// # Errors
/// As semctl(2); EINVAL for another number of values than there are semaphores.
pub fn set_values(id: i32, values: &[u16]) -> io::Result<()> {
    if semaphores(id)?.count != values.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    semctl(id, libc::SETALL, values.as_ptr().cast_mut())
}

/// The id of the semaphores with a key, or new ones with `IPC_CREAT` (semget(2)).
///
/// # Errors
/// As semget(2).
pub fn get_semaphores(key: i32, count: usize, flags: i32) -> io::Result<i32> {
    let count = count.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: numbers only.
    cvt(unsafe { libc::semget(key, count, flags) }.into()).map(|id| id as i32)
}

/// Sets owner and permissions of semaphores (`IPC_SET`).
///
/// # Errors
/// As semctl(2).
pub fn set_semaphores(id: i32, owner: (u32, u32), mode: u32) -> io::Result<()> {
    let mut stat = stat_semaphores(id)?;
    (stat.sem_perm.uid, stat.sem_perm.gid) = owner;
    stat.sem_perm.mode = mode as _;
    semctl(id, libc::IPC_SET, &mut stat)
}

/// Removes semaphores (`IPC_RMID`).
///
/// # Errors
/// As semctl(2).
pub fn remove_semaphores(id: i32) -> io::Result<()> {
    semctl::<u8>(id, libc::IPC_RMID, std::ptr::null_mut())
}

/// A message queue, `struct msqid64_ds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStat {
    /// Owner and permissions.
    pub permissions: Permissions,
    /// How many messages there are.
    pub messages: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many bytes there may be.
    pub limit: u64,
    /// PIDs of the last processes that sent and received.
    pub last_users: [i32; 2],
    /// When they did, in seconds since the epoch.
    pub last_uses: [i64; 2],
}

fn stat_queue(id: i32) -> io::Result<libc::msqid_ds> {
    // SAFETY: all zeros is valid for this structure of numbers.
    let mut stat = unsafe { zeroed() };
    // SAFETY: the result is live.
    cvt(unsafe { libc::msgctl(id, libc::IPC_STAT, &mut stat) }.into())?;
    Ok(stat)
}

/// Describes a message queue (`IPC_STAT`).
///
/// # Errors
/// As msgctl(2).
pub fn queue(id: i32) -> io::Result<QueueStat> {
    let stat = stat_queue(id)?;
    Ok(QueueStat {
        permissions: Permissions::of(&stat.msg_perm),
        messages: stat.msg_qnum,
        bytes: stat.__msg_cbytes,
        limit: stat.msg_qbytes,
        last_users: [stat.msg_lspid, stat.msg_lrpid],
        last_uses: [stat.msg_stime as i64, stat.msg_rtime as i64],
    })
}

/// The id of the message queue with a key, or a new one with `IPC_CREAT` (msgget(2)).
///
/// # Errors
/// As msgget(2).
pub fn get_queue(key: i32, flags: i32) -> io::Result<i32> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::msgget(key, flags) }.into()).map(|id| id as i32)
}

/// Sets owner, permissions and the limit in bytes of a message queue (`IPC_SET`).
///
/// # Errors
/// As msgctl(2): EPERM above kernel.msgmnb without CAP_SYS_RESOURCE.
pub fn set_queue(id: i32, owner: (u32, u32), mode: u32, limit: u64) -> io::Result<()> {
    let mut stat = stat_queue(id)?;
    (stat.msg_perm.uid, stat.msg_perm.gid) = owner;
    stat.msg_perm.mode = mode as _;
    stat.msg_qbytes = limit as _;
    // SAFETY: the structure is live.
    cvt(unsafe { libc::msgctl(id, libc::IPC_SET, &mut stat) }.into()).map(drop)
}

/// Removes a message queue (`IPC_RMID`).
///
/// # Errors
/// As msgctl(2).
pub fn remove_queue(id: i32) -> io::Result<()> {
    // SAFETY: this command has no argument.
    cvt(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }.into()).map(drop)
}

/// How a message is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receive {
    /// The message at this index stays in the queue (`MSG_COPY`).
    Copy(u64),
    /// The first one leaves it.
    First,
}

/// Type and text of a message of at most `room` bytes; `None` if there is none (msgrcv(2)).
///
/// # Errors
/// As msgrcv(2): ENOSYS for a copy without CONFIG_CHECKPOINT_RESTORE.
pub fn receive(id: i32, how: Receive, room: usize) -> io::Result<Option<(i64, Vec<u8>)>> {
    const TYPE: usize = size_of::<libc::c_long>();
    let mut buffer = vec![0u8; TYPE + room];
    let (index, copy) = match how {
        Receive::Copy(index) => (index as libc::c_long, libc::MSG_COPY),
        Receive::First => (0, 0),
    };
    // SAFETY: the buffer has room for the type and as many bytes as are asked for.
    let got = unsafe { libc::msgrcv(id, buffer.as_mut_ptr().cast(), room, index, libc::IPC_NOWAIT | copy) };
    match cvt(got as libc::c_long) {
        Ok(len) => {
            buffer.truncate(TYPE + len as usize);
            let text = buffer.split_off(TYPE);
            let kind = buffer.try_into().map(i64::from_ne_bytes).expect("as long as a type");
            Ok(Some((kind, text)))
        }
        Err(err) if err.raw_os_error() == Some(libc::ENOMSG) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Appends a message, if there is room (msgsnd(2)).
///
/// # Errors
/// As msgsnd(2): EAGAIN if there is no room.
pub fn send(id: i32, kind: i64, text: &[u8]) -> io::Result<()> {
    let mut buffer = kind.to_ne_bytes().to_vec();
    buffer.extend(text);
    // SAFETY: the buffer has the type and as many bytes as are given.
    cvt(unsafe { libc::msgsnd(id, buffer.as_ptr().cast(), text.len(), libc::IPC_NOWAIT) }.into()).map(drop)
}
