//! A worker process that survives its front end, the process that the user sees, and restores the
//! target when that is killed.

use super::cvt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The process in which [`split`] returns.
#[derive(Debug)]
pub enum Side {
    /// The front end, which waits for the worker with this PID.
    Front(i32),
    /// The worker. It gets SIGTERM when the front end dies.
    Worker,
}

/// Forks. The caller must be single-threaded.
///
/// The worker has its own process group, so a signal to the front end's group does not reach it.
pub fn split() -> io::Result<Side> {
    let front = ourselves()?;
    // SAFETY: there is one thread, so the child's copy of the process is whole.
    let pid = cvt(unsafe { libc::fork() }.into())? as i32;
    if pid != 0 {
        return Ok(Side::Front(pid));
    }
    // SAFETY: numbers only.
    unsafe { libc::setpgid(0, 0) };
    if follow(&front, libc::SIGTERM)? {
        // SAFETY: as above.
        unsafe { libc::raise(libc::SIGTERM) };
    }
    Ok(Side::Worker)
}

fn ourselves() -> io::Result<OwnedFd> {
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    Ok(pidfd_open(getpid(), PidfdFlags::empty())?)
}

/// In a child: asks for a signal when its parent ends; whether that has ended before.
fn follow(parent: &OwnedFd, signal: i32) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    super::prctl(libc::PR_SET_PDEATHSIG, [signal as u64, 0, 0, 0])?;
    Ok(poll(&mut [PollFd::new(parent, PollFlags::IN)], Some(&Timespec::default()))? > 0)
}

/// Forks a child that is killed when this process ends: the PID in the parent, `None` in the child.
/// The caller must be single-threaded.
///
/// The signal is forced also upon the init of a PID namespace, as its sender is outside
/// (kernel/signal.c, `send_signal_locked`).
///
/// # Errors
/// As fork(2).
pub fn fork_bound() -> io::Result<Option<i32>> {
    let parent = ourselves()?;
    // SAFETY: there is one thread, so the child's copy of the process is whole.
    let pid = cvt(unsafe { libc::fork() }.into())? as i32;
    if pid != 0 {
        return Ok(Some(pid));
    }
    if follow(&parent, libc::SIGKILL)? {
        // SAFETY: never returns.
        unsafe { libc::_exit(1) }
    }
    Ok(None)
}

/// Pages shared by a process and its forks: a line of text, and notes. One side writes; the other
/// reads once the writer has exited or hangs.
pub struct Board {
    page: NonNull<Page>,
}

/// A few words whose meaning is defined by the caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Note {
    /// The type of the note.
    pub kind: u64,
    /// The words.
    pub words: [u64; 4],
}

/// A slot for a note.
#[repr(C)]
struct Place {
    /// 0: free; ascending in the order of the notes otherwise.
    number: AtomicU64,
    kind: AtomicU64,
    words: [AtomicU64; 4],
}

/// The number of a slot that is being written.
const BUSY: u64 = u64::MAX;
/// The number of slots.
const NOTES: usize = 64;
const TEXT: usize = 1024;

#[repr(C)]
struct Page {
    /// Whether nothing is left to be undone.
    done: AtomicBool,
    /// Whether the activity in the text is subject to the timeout.
    hurried: AtomicBool,
    len: AtomicUsize,
    text: [AtomicU8; TEXT],
    /// The number of the last note.
    last: AtomicU64,
    notes: [Place; NOTES],
}

// SAFETY: the page holds nothing but atomics, and stays mapped until the process ends.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl Board {
    /// A board of zeros.
    ///
    /// # Errors
    /// As mmap(2).
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

    /// Writes the line, truncated to the buffer, and whether it is subject to the timeout.
    pub fn write(&self, text: &str, hurried: bool) {
        let page = self.page();
        page.hurried.store(hurried, Ordering::Relaxed);
        page.len.store(0, Ordering::Relaxed);
        let bytes = &text.as_bytes()[..text.len().min(TEXT)];
        bytes.iter().zip(&page.text).for_each(|(byte, place)| place.store(*byte, Ordering::Relaxed));
        page.len.store(bytes.len(), Ordering::Release);
    }

    /// Nothing is left to be undone.
    pub fn finish(&self) {
        self.page().done.store(true, Ordering::Release);
    }

    /// Whether nothing is left to be undone.
    pub fn is_finished(&self) -> bool {
        self.page().done.load(Ordering::Acquire)
    }

    /// Whether the activity in the line is subject to the timeout.
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

    /// Writes a note; returns its slot.
    ///
    /// # Errors
    /// ENOSPC when all slots are in use.
    pub fn note(&self, note: Note) -> io::Result<usize> {
        let page = self.page();
        let take = |place: &Place| {
            place.number.compare_exchange(0, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let at = page.notes.iter().position(take).ok_or(io::Error::from_raw_os_error(libc::ENOSPC))?;
        let place = &page.notes[at];
        place.kind.store(note.kind, Ordering::Relaxed);
        place.words.iter().zip(note.words).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
        place.number.store(page.last.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Release);
        Ok(at)
    }

    /// Frees the slot of a note.
    pub fn strike(&self, place: usize) {
        self.page().notes[place].number.store(0, Ordering::Release);
    }

    /// The notes, in the order in which they were written.
    pub fn notes(&self) -> Vec<Note> {
        let read = |place: &Place| {
            let number = place.number.load(Ordering::Acquire);
            let words = std::array::from_fn(|at| place.words[at].load(Ordering::Relaxed));
            (number, Note { kind: place.kind.load(Ordering::Relaxed), words })
        };
        let mut notes: Vec<(u64, Note)> =
            self.page().notes.iter().map(read).filter(|(number, _)| !matches!(*number, 0 | BUSY)).collect();
        notes.sort_unstable_by_key(|(number, _)| *number);
        notes.into_iter().map(|(_, note)| note).collect()
    }
}

/// A child that runs a cleanup when this process is killed; dropping it cancels the cleanup.
#[derive(Debug)]
pub struct Successor(i32);

impl Successor {
    /// Forks; the child waits also for the end of the process `other`. The caller must be
    /// single-threaded.
    ///
    /// # Errors
    /// EAGAIN; ENOSYS before Linux 5.3; ESRCH if the other process has been waited for.
    pub fn start(other: Option<i32>, work: impl FnOnce()) -> io::Result<Successor> {
        use rustix::event::{PollFd, PollFlags, poll};
        let other = other.map(super::task::pidfd).transpose()?;
        let us = ourselves()?;
        // SAFETY: there is one thread, so the child's copy of the process is whole.
        let pid = cvt(unsafe { libc::fork() }.into())? as i32;
        if pid != 0 {
            return Ok(Successor(pid));
        }
        // SAFETY: the set is live; to fill and to block it cannot fail. Signals other than SIGKILL
        // end the successor only after its work.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
            // Not to be found by the name of the program, whose processes somebody kills.
            libc::prctl(libc::PR_SET_NAME, c"undo".as_ptr());
            // Who reads what we print is not to wait for it.
            let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            for fd in 0..3 {
                libc::dup2(null, fd);
            }
        }
        for ends in other.iter().chain([&us]) {
            while poll(&mut [PollFd::new(ends, PollFlags::IN)], None).is_err() {}
        }
        work();
        // SAFETY: never returns.
        unsafe { libc::_exit(0) }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        // SAFETY: numbers only; the child is ours and was not waited for, so its number is still
        // its own.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Runs `work` in a child, so that it completes even if this process is killed. `work` may only
/// make system calls, since other threads may hold locks; it returns the child's exit code.
///
/// # Errors
/// EAGAIN; the child was killed.
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

/// Waits for the children of a process that has stopped to exit, no longer than `patience` for
/// each.
pub fn await_children(pid: i32, patience: Duration) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // Without CONFIG_PROC_CHILDREN nobody is waited for.
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_ascii_whitespace().filter_map(|child| child.parse().ok()) {
        let Ok(ends) = super::task::pidfd(child) else { continue };
        // An error of poll(2) is as good as its end: nothing else can be done for it.
        let _ = poll(&mut [PollFd::new(&ends, PollFlags::IN)], Timespec::try_from(patience).ok().as_ref());
    }
}

/// As [`in_child`], for work that succeeds or not.
///
/// # Errors
/// Those of `work`; as [`in_child`].
pub fn try_in_child(work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    const UNKNOWN: u8 = u8::MAX;
    let code = |err: io::Error| err.raw_os_error().and_then(|code| code.try_into().ok()).unwrap_or(UNKNOWN);
    match in_child(|| work().map_or_else(code, |()| 0))? {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.into())),
    }
}

/// A descriptor that a child opens. The rules of [`in_child`] hold.
///
/// # Errors
/// Those of `open`; EAGAIN.
pub fn opened_in_child(open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};
    use rustix::net::{recvmsg, sendmsg, socketpair};
    const ROOM: usize = rustix::cmsg_space!(ScmRights(1));
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let send = || -> io::Result<()> {
        let fd = open()?;
        let (mut room, fds) = ([std::mem::MaybeUninit::uninit(); ROOM], [fd.as_fd()]);
        let mut control = SendAncillaryBuffer::new(&mut room);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(&theirs, &[io::IoSlice::new(&[0])], &mut control, SendFlags::empty())?;
        Ok(())
    };
    try_in_child(send)?;
    let (mut room, mut byte) = ([std::mem::MaybeUninit::uninit(); ROOM], [0]);
    let mut control = RecvAncillaryBuffer::new(&mut room);
    recvmsg(&ours, &mut [io::IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::other("no descriptor has arrived"))
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

/// Makes a write beyond RLIMIT_FSIZE fail with EFBIG instead of killing the process.
pub fn survive_file_size_limit() -> io::Result<()> {
    // SAFETY: to ignore a signal involves no handler.
    match unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
