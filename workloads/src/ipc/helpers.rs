//! Shared by several workloads.

use crate::framework::prelude::*;
use anyhow::Result;
use std::ffi::CString;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// System V shared memory; removed on drop.
pub struct Segment {
    pub id: i32,
    /// As asked for.
    pub size: usize,
    page: usize,
}

/// What shmctl(2) tells, except times and the PIDs of creator and last user.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub key: i32,
    pub owner: (u32, u32),
    pub creator: (u32, u32),
    /// With `SHM_DEST` (01000) and `SHM_LOCKED` (02000).
    pub mode: u32,
    pub size: usize,
    pub attached: usize,
}

impl Segment {
    /// With a key of its own.
    pub fn with_key(size: usize, flags: i32) -> Result<Self> {
        let first = 0x6b00_0000 | (std::process::id() as i32) << 4;
        for key in first..first + 16 {
            match Self::new(key, size, libc::IPC_EXCL | flags) {
                Err(err) if sys::errno_in(&err) == Some(libc::EEXIST) => {}
                other => return other,
            }
        }
        bail!("keys {first:#x} and above are in use")
    }

    /// Without a key.
    pub fn private(size: usize, flags: i32) -> Result<Self> {
        Self::new(libc::IPC_PRIVATE, size, flags)
    }

    fn new(key: i32, size: usize, flags: i32) -> Result<Self> {
        // SAFETY: numbers only.
        let id = sys::check("shmget", unsafe { libc::shmget(key, size, libc::IPC_CREAT | flags) })?;
        Ok(Self { id, size, page: page_size() })
    }

    /// One that exists.
    pub fn of(id: i32, size: usize) -> Self {
        Self { id, size, page: page_size() }
    }

    /// In pages of this size.
    pub fn in_pages_of(mut self, page: usize) -> Self {
        self.page = page;
        self
    }

    /// shmat(2)
    pub fn attach(&self, flags: i32) -> Result<Mapping> {
        // SAFETY: a new mapping at a place of the kernel's choice.
        let at = unsafe { libc::shmat(self.id, std::ptr::null(), flags) };
        anyhow::ensure!(at as isize != -1, "shmat: {}", std::io::Error::last_os_error());
        Ok(Mapping::adopt(at as usize, self.size.next_multiple_of(self.page)))
    }

    /// `IPC_STAT`
    pub fn told(&self) -> Result<Told> {
        let stat = self.stat()?;
        let perm = &stat.shm_perm;
        Ok(Told {
            key: perm.__key,
            owner: (perm.uid, perm.gid),
            creator: (perm.cuid, perm.cgid),
            mode: perm.mode as u32,
            size: stat.shm_segsz,
            attached: stat.shm_nattch as usize,
        })
    }

    fn stat(&self) -> Result<libc::shmid_ds> {
        // SAFETY: all zeros is valid for this structure of numbers.
        let mut stat: libc::shmid_ds = unsafe { zeroed() };
        // SAFETY: the result is live.
        sys::check("shmctl(IPC_STAT)", unsafe { libc::shmctl(self.id, libc::IPC_STAT, &mut stat) })?;
        Ok(stat)
    }

    /// Gives it to somebody else (`IPC_SET`).
    pub fn give_to(&self, (uid, gid): (u32, u32), mode: u32) -> Outcome {
        let mut stat = self.stat()?;
        (stat.shm_perm.uid, stat.shm_perm.gid, stat.shm_perm.mode) = (uid, gid, mode as _);
        // SAFETY: the structure is live.
        sys::check("shmctl(IPC_SET)", unsafe { libc::shmctl(self.id, libc::IPC_SET, &mut stat) })?;
        Ok(())
    }

    /// shmctl(2) with a command that has no argument.
    pub fn control(&self, command: i32) -> Outcome {
        // SAFETY: such a command reads and writes nothing.
        sys::check(&format!("shmctl({command})"), unsafe {
            libc::shmctl(self.id, command, std::ptr::null_mut())
        })?;
        Ok(())
    }

    /// Whether there is no such segment any more.
    pub fn is_gone(&self) -> bool {
        self.stat().is_err_and(|err| matches!(sys::errno_in(&err), Some(libc::EINVAL | libc::EIDRM)))
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.control(libc::IPC_RMID);
    }
}

/// A child must not drop what belongs to its parent.
pub fn of_parent(segment: &Segment) -> std::mem::ManuallyDrop<Segment> {
    let Segment { id, size, page } = *segment;
    std::mem::ManuallyDrop::new(Segment { id, size, page })
}

/// Says that these are its own, which nothing shows: `sem:3`.
pub fn claim(cx: &Ctx, names: &[String]) -> Outcome {
    std::fs::write(cx.dir.join("sysv"), names.join("\n") + "\n").context("write sysv")
}

/// A set of System V semaphores; removed on drop.
pub struct Semaphores(pub i32);

impl Semaphores {
    /// With these values, and without a key.
    pub fn new(mode: i32, values: &mut [u16]) -> Result<Self> {
        let count = values.len() as i32;
        // SAFETY: numbers only.
        let id =
            sys::check("semget", unsafe { libc::semget(libc::IPC_PRIVATE, count, libc::IPC_CREAT | mode) })?;
        // SAFETY: there are as many values as semaphores.
        sys::check("semctl(SETALL)", unsafe { libc::semctl(id, 0, libc::SETALL, values.as_mut_ptr()) })?;
        Ok(Self(id))
    }

    /// The value of each.
    pub fn values<const N: usize>(&self) -> Result<[u16; N]> {
        let mut values = [0; N];
        // SAFETY: callers know how many there are.
        sys::check("semctl(GETALL)", unsafe { libc::semctl(self.0, 0, libc::GETALL, values.as_mut_ptr()) })?;
        Ok(values)
    }

    /// semop(2) on one of them.
    pub fn change(&self, number: u16, by: i16) -> Outcome {
        let mut operation = libc::sembuf { sem_num: number, sem_op: by, sem_flg: 0 };
        // SAFETY: one operation.
        sys::check("semop", unsafe { libc::semop(self.0, &mut operation, 1) })?;
        Ok(())
    }

    /// How many wait for it to increase (`GETNCNT`).
    pub fn waiting(&self, number: u16) -> Result<i32> {
        // SAFETY: numbers only.
        sys::check("semctl(GETNCNT)", unsafe { libc::semctl(self.0, number.into(), libc::GETNCNT) })
    }
}

impl Drop for Semaphores {
    fn drop(&mut self) {
        // SAFETY: this command has no argument.
        unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) };
    }
}

/// A System V message queue; removed on drop.
pub struct Queue(pub i32);

impl Queue {
    /// Without a key.
    pub fn new(mode: i32) -> Result<Self> {
        // SAFETY: numbers only.
        let id = sys::check("msgget", unsafe { libc::msgget(libc::IPC_PRIVATE, libc::IPC_CREAT | mode) })?;
        Ok(Self(id))
    }

    /// msgsnd(2)
    pub fn send(&self, kind: i64, text: &[u8]) -> Outcome {
        let message = [&kind.to_ne_bytes()[..], text].concat();
        // SAFETY: the buffer has the type and the text.
        sys::check("msgsnd", unsafe { libc::msgsnd(self.0, message.as_ptr().cast(), text.len(), 0) })?;
        Ok(())
    }

    /// msgrcv(2): type and text.
    pub fn receive(&self, kind: i64, flags: i32) -> Result<(i64, Vec<u8>)> {
        const ROOM: usize = 8192;
        let mut buffer = vec![0u8; 8 + ROOM];
        // SAFETY: the buffer has room for the type and as many bytes.
        let got = unsafe { libc::msgrcv(self.0, buffer.as_mut_ptr().cast(), ROOM, kind, flags) };
        let len = sys::check("msgrcv", got)? as usize;
        let (kind, text) = buffer.split_at(8);
        Ok((i64::from_ne_bytes(kind.try_into()?), text[..len].to_vec()))
    }

    /// Number of messages, their bytes, the limit in bytes, and the mode.
    pub fn told(&self) -> Result<(u64, u64, u64, u32)> {
        let stat = self.stat()?;
        Ok((stat.msg_qnum, stat.__msg_cbytes, stat.msg_qbytes, stat.msg_perm.mode as u32))
    }

    /// Sets the limit in bytes (`IPC_SET`).
    pub fn limit(&self, bytes: u64) -> Outcome {
        let mut stat = self.stat()?;
        stat.msg_qbytes = bytes as _;
        // SAFETY: the structure is live.
        sys::check("msgctl(IPC_SET)", unsafe { libc::msgctl(self.0, libc::IPC_SET, &mut stat) })?;
        Ok(())
    }

    fn stat(&self) -> Result<libc::msqid_ds> {
        // SAFETY: all zeros is valid for this structure of numbers.
        let mut stat: libc::msqid_ds = unsafe { zeroed() };
        // SAFETY: the result is live.
        sys::check("msgctl(IPC_STAT)", unsafe { libc::msgctl(self.0, libc::IPC_STAT, &mut stat) })?;
        Ok(stat)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this command has no argument.
        unsafe { libc::msgctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

/// A POSIX message queue; its name is removed on drop.
pub struct MessageQueue {
    name: CString,
    pub fd: OwnedFd,
}

impl MessageQueue {
    /// A new one, open for both, that holds `most` messages of at most 100 bytes.
    pub fn new(what: &str, most: i64) -> Result<Self> {
        let name = CString::new(format!("/cairn-{what}-{}", std::process::id()))?;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let fd = Self::open_as(&name, flags, most)?;
        Ok(Self { name, fd })
    }

    /// The same queue, opened again.
    pub fn open(&self, flags: i32) -> Result<OwnedFd> {
        Self::open_as(&self.name, flags, 1)
    }

    fn open_as(name: &CString, flags: i32, most: i64) -> Result<OwnedFd> {
        // SAFETY: all zeros is valid for this structure of numbers.
        let mut attributes: libc::mq_attr = unsafe { zeroed() };
        (attributes.mq_maxmsg, attributes.mq_msgsize) = (most, 100);
        let mode: libc::mode_t = 0o640;
        // SAFETY: name and attributes are live.
        let fd =
            sys::check("mq_open", unsafe { libc::mq_open(name.as_ptr(), flags, mode, &mut attributes) })?;
        // SAFETY: a new descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// mq_unlink(3)
    pub fn unlink(&self) -> Outcome {
        // SAFETY: the name is live.
        sys::check("mq_unlink", unsafe { libc::mq_unlink(self.name.as_ptr()) })?;
        Ok(())
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        // It may have none any more.
        let _ = self.unlink();
    }
}

/// mq_send(3)
pub fn post(queue: &impl AsRawFd, text: &[u8], priority: u32) -> Outcome {
    // SAFETY: the text is live.
    sys::check("mq_send", unsafe {
        libc::mq_send(queue.as_raw_fd(), text.as_ptr().cast(), text.len(), priority)
    })?;
    Ok(())
}

/// mq_receive(3): text and priority.
pub fn fetch(queue: &impl AsRawFd) -> Result<(Vec<u8>, u32)> {
    let (mut text, mut priority) = (vec![0u8; 100], 0);
    // SAFETY: the buffer is as long as the longest message.
    let len = sys::check("mq_receive", unsafe {
        libc::mq_receive(queue.as_raw_fd(), text.as_mut_ptr().cast(), text.len(), &mut priority)
    })?;
    text.truncate(len as usize);
    Ok((text, priority))
}

/// How many messages a queue can hold, how long they may be, how many there are, and its flags.
pub fn attributes(queue: &impl AsRawFd) -> Result<(i64, i64, i64, i64)> {
    // SAFETY: all zeros is valid for this structure of numbers.
    let mut all: libc::mq_attr = unsafe { zeroed() };
    // SAFETY: the result is live.
    sys::check("mq_getattr", unsafe { libc::mq_getattr(queue.as_raw_fd(), &mut all) })?;
    Ok((all.mq_maxmsg, all.mq_msgsize, all.mq_curmsgs, all.mq_flags))
}
