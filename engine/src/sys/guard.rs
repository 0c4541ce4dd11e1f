//! A worker process that survives the one the user sees, so that it can put everything back when
//! that one is killed.

use super::cvt;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// What [`split`] returns to whom.
#[derive(Debug)]
pub enum Side {
    /// The process that the user sees: it waits for the worker, whose PID this is.
    Front(i32),
    /// The worker. It gets SIGTERM when the front dies.
    Worker,
}

/// Forks. Only for a process that has one thread.
///
/// The worker is in a process group of its own: a signal to the front's group does not take it
/// along.
pub fn split() -> io::Result<Side> {
    // SAFETY: there is one thread, so the child's copy of the process is whole.
    let pid = cvt(unsafe { libc::fork() }.into())? as i32;
    if pid != 0 {
        return Ok(Side::Front(pid));
    }
    // SAFETY: numbers only.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
    }
    Ok(Side::Worker)
}

/// A page that a process and its forks share: a line of text, and resource limits of some process.
/// One side writes, the other reads when that has ended or hangs.
pub struct Board {
    page: NonNull<Page>,
}

/// How many limits there is room for: every resource has its place.
const LIMITS: usize = 16;
const TEXT: usize = 1024;

#[repr(C)]
struct Page {
    /// Whether what the text says has to end in time.
    hurried: AtomicBool,
    len: AtomicUsize,
    text: [AtomicU8; TEXT],
    /// Process, 0 for none; soft; hard.
    limits: [(AtomicI32, AtomicU64, AtomicU64); LIMITS],
}

// SAFETY: the page holds nothing but atomics, and stays mapped until the process ends.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl Board {
    /// A board of zeros.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn new() -> io::Result<Self> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, large enough and aligned; zeros are valid atomics.
        let got = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<Page>(), prot, flags, -1, 0) };
        match NonNull::new(got.cast()) {
            Some(page) if got != libc::MAP_FAILED => Ok(Board { page }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped for as long as the process lives.
        unsafe { self.page.as_ref() }
    }

    /// Writes the line, as much of it as there is room for, and whether it has to end in time.
    pub fn write(&self, text: &str, hurried: bool) {
        let page = self.page();
        page.hurried.store(hurried, Ordering::Relaxed);
        page.len.store(0, Ordering::Relaxed);
        let bytes = &text.as_bytes()[..text.len().min(TEXT)];
        bytes.iter().zip(&page.text).for_each(|(byte, place)| place.store(*byte, Ordering::Relaxed));
        page.len.store(bytes.len(), Ordering::Release);
    }

    /// Whether what the line says has to end in time.
    pub fn is_hurried(&self) -> bool {
        self.page().hurried.load(Ordering::Relaxed)
    }

    /// Reads the line.
    pub fn read(&self) -> String {
        let page = self.page();
        let len = page.len.load(Ordering::Acquire).min(TEXT);
        let bytes: Vec<u8> = page.text[..len].iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Notes what a limit of a process was, or that there is nothing to note.
    pub fn note_limit(&self, resource: u32, limit: Option<(i32, (u64, u64))>) {
        let Some((pid, soft, hard)) = self.page().limits.get(resource as usize) else { return };
        let (whose, (now_soft, now_hard)) = limit.unwrap_or((0, (0, 0)));
        soft.store(now_soft, Ordering::Relaxed);
        hard.store(now_hard, Ordering::Relaxed);
        pid.store(whose, Ordering::Release);
    }

    /// The limits that are noted: resource, process, soft and hard.
    pub fn limits(&self) -> Vec<(u32, i32, (u64, u64))> {
        let all = (0..).zip(&self.page().limits).map(|(resource, (pid, soft, hard))| {
            let pid = pid.load(Ordering::Acquire);
            (resource, pid, (soft.load(Ordering::Relaxed), hard.load(Ordering::Relaxed)))
        });
        all.filter(|(_, pid, _)| *pid != 0).collect()
    }
}

/// A process that does something when this one is killed. Dropped before, it does nothing.
#[derive(Debug)]
pub struct Heir(i32);

impl Heir {
    /// Forks. Only for a process that has one thread.
    ///
    /// # Errors
    /// EAGAIN; ENOSYS before Linux 5.3.
    pub fn appoint(will: impl FnOnce()) -> io::Result<Heir> {
        use rustix::event::{PollFd, PollFlags, poll};
        use rustix::process::{PidfdFlags, getpid, pidfd_open};
        let us = pidfd_open(getpid(), PidfdFlags::empty())?;
        // SAFETY: there is one thread, so the child's copy of the process is whole.
        let pid = cvt(unsafe { libc::fork() }.into())? as i32;
        if pid != 0 {
            return Ok(Heir(pid));
        }
        // SAFETY: the set is live; to fill and to block it cannot fail. What ends us ends the heir,
        // but for SIGKILL, only after its work.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
        }
        while poll(&mut [PollFd::new(&us, PollFlags::IN)], None).is_err() {}
        will();
        // SAFETY: never returns.
        unsafe { libc::_exit(0) }
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        // SAFETY: numbers only; the child is ours and was not waited for, so its number is still
        // its own.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Does something in a child that outlives this process, should it be killed meanwhile: what was
/// begun is brought to its end. `work` may make system calls and nothing else, since other threads
/// may have held locks; it returns what the child exits with.
///
/// # Errors
/// EAGAIN; a child that was killed itself.
pub fn in_child(work: impl FnOnce() -> u8) -> io::Result<u8> {
    // SAFETY: the child makes system calls only, as the caller promises.
    let pid = cvt(unsafe { libc::fork() }.into())? as i32;
    if pid == 0 {
        // SAFETY: the set is live; to fill and to block it cannot fail. The child never returns.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
            libc::_exit(work().into())
        }
    }
    let mut status = 0;
    // SAFETY: the status is live.
    while unsafe { libc::waitpid(pid, &mut status, 0) } != pid {
        let err = io::Error::last_os_error();
        if err.kind() != io::ErrorKind::Interrupted {
            return Err(err);
        }
    }
    if libc::WIFEXITED(status) {
        return Ok(libc::WEXITSTATUS(status) as u8);
    }
    Err(io::Error::other(format!("the child ended with status {status:#x}")))
}

/// Sends a signal to a process.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    cvt(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Whether a process group of this number has a member.
pub fn group_exists(pgid: i32) -> bool {
    // SAFETY: numbers only; no signal is sent.
    match cvt(unsafe { libc::kill(-pgid, 0) }.into()) {
        Ok(_) => true,
        Err(err) => err.raw_os_error() == Some(libc::EPERM),
    }
}

/// Makes a write beyond RLIMIT_FSIZE an error instead of the end.
pub fn survive_file_size_limit() -> io::Result<()> {
    // SAFETY: to ignore a signal involves no handler.
    match unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
