//! System calls, all of which may be made in a signal handler unless said otherwise.

use crate::codes::SIGNAL;
use crate::wire::{self, LONGEST, Message};
use libc::c_int;
use std::sync::atomic::AtomicU32;

/// The errno of this thread.
pub fn errno() -> c_int {
    // SAFETY: the location is that of this thread.
    unsafe { *libc::__errno_location() }
}

pub fn set_errno(errno: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno }
}

pub fn getpid() -> c_int {
    // SAFETY: no arguments.
    unsafe { libc::getpid() }
}

pub fn gettid() -> c_int {
    // SAFETY: no arguments.
    unsafe { libc::syscall(libc::SYS_gettid) as c_int }
}

pub fn getuid() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::getuid() }
}

/// Waits while the word has this value, until it is woken or a signal is handled; false if a tenth
/// of a second has passed: who waits for other threads looks now and then whether they still live.
pub fn futex_wait(word: &AtomicU32, value: u32) -> bool {
    let patience = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: word and timeout are live.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, value, &raw const patience) };
    woken == 0 || errno() != libc::ETIMEDOUT
}

/// The same without a limit, for who waits for nobody in particular.
pub fn futex_sleep(word: &AtomicU32, value: u32) {
    let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let forever = std::ptr::null::<libc::timespec>();
    // SAFETY: the word is live.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, value, forever) };
}

pub fn futex_wake(word: &AtomicU32) {
    let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is live.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, c_int::MAX) };
}

/// Sends [`SIGNAL`] to a thread of this process; whether it exists.
pub fn signal_thread(tid: c_int) -> bool {
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, getpid(), tid, SIGNAL) == 0 }
}

pub fn thread_exists(tid: c_int) -> bool {
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, getpid(), tid, 0) == 0 }
}

/// Reads the beginning of a file; how many bytes.
fn read_file(path: &std::ffi::CStr, to: &mut [u8]) -> usize {
    // SAFETY: the path ends with a zero, the buffer is live.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return 0;
        }
        let len = libc::read(fd, to.as_mut_ptr().cast(), to.len());
        libc::close(fd);
        len.max(0) as usize
    }
}

/// `/proc/self/task/TID/status` of a thread, without an allocation.
fn status_path(tid: c_int) -> [u8; 48] {
    let mut path = [0; 48];
    let mut at = 0;
    let mut put = |text: &[u8]| {
        path[at..at + text.len()].copy_from_slice(text);
        at += text.len();
    };
    put(b"/proc/self/task/");
    let (name, len) = wire::address(tid);
    let digits = name[..len].iter().position(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
    put(&name[digits..len]);
    put(b"/status");
    path
}

/// Whether a thread blocks [`SIGNAL`].
pub fn blocks_signal(tid: c_int) -> bool {
    let path = status_path(tid);
    let Ok(path) = std::ffi::CStr::from_bytes_until_nul(&path) else { return true };
    let mut text = [0; 4096];
    let len = read_file(path, &mut text);
    let is = |line: &&[u8]| line.starts_with(b"SigBlk:");
    let Some(line) = text[..len].split(|byte| *byte == b'\n').find(is) else { return true };
    // The first digit has signals 61 to 64.
    let first = line.iter().skip(7).find(|byte| !byte.is_ascii_whitespace());
    first.is_none_or(|digit| (*digit as char).to_digit(16).is_none_or(|bits| bits & 8 != 0))
}

/// Calls `with` for each thread of this process.
pub fn each_thread(mut with: impl FnMut(c_int)) {
    let mut room = [0u8; 4096];
    // SAFETY: the path ends with a zero, the buffer is live.
    let fd = unsafe {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        libc::open(c"/proc/self/task".as_ptr(), flags)
    };
    if fd < 0 {
        return;
    }
    loop {
        // SAFETY: as above.
        let len = unsafe { libc::syscall(libc::SYS_getdents64, fd, room.as_mut_ptr(), room.len()) };
        if len <= 0 {
            break;
        }
        // struct linux_dirent64: the length in bytes 16 and 17, the name from byte 19 on.
        let mut entries = &room[..len as usize];
        while let Some(len) = entries.get(16..18).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes)
        {
            let (entry, rest) = entries.split_at(usize::from(len).clamp(19, entries.len()));
            let digits = entry[19..].iter().take_while(|byte| byte.is_ascii_digit());
            let tid = digits.fold(0, |number, digit| 10 * number + c_int::from(digit - b'0'));
            if tid > 0 {
                with(tid);
            }
            entries = rest;
        }
    }
    // SAFETY: it was opened above.
    unsafe { libc::close(fd) };
}

/// Connects to a coordinator of our own user or of root; its descriptor.
pub fn connect(coordinator: c_int) -> Option<c_int> {
    let (name, len) = wire::address(coordinator);
    // SAFETY: address and lengths are live; the descriptor is ours.
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return None;
        }
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as u16;
        for (place, byte) in address.sun_path[1..].iter_mut().zip(&name[..len]) {
            *place = *byte as libc::c_char;
        }
        let size = size_of::<libc::sa_family_t>() + 1 + len;
        let mut peer: libc::ucred = std::mem::zeroed();
        let mut peer_size = size_of::<libc::ucred>() as u32;
        let is_ours = libc::connect(fd, (&raw const address).cast(), size as u32) == 0
            && libc::getsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut peer).cast(),
                &raw mut peer_size,
            ) == 0
            && peer.pid == coordinator
            && (peer.uid == 0 || peer.uid == getuid());
        if is_ours {
            return Some(fd);
        }
        libc::close(fd);
        None
    }
}

pub fn close(fd: c_int) {
    // SAFETY: the caller's descriptor.
    unsafe { libc::close(fd) };
}

/// Sends a message; whether that was possible.
pub fn send(fd: c_int, message: &Message<'_>) -> bool {
    let mut room = [0; LONGEST];
    let len = message.encode(&mut room);
    // SAFETY: the buffer is live.
    let sent = unsafe { libc::send(fd, room.as_ptr().cast(), len, libc::MSG_NOSIGNAL) };
    sent == len as isize
}

/// Waits for a message: its bytes, 0 at the end of the connection, or an errno.
pub fn receive(fd: c_int, room: &mut [u8; LONGEST]) -> Result<usize, c_int> {
    loop {
        // SAFETY: the buffer is live.
        let len = unsafe { libc::recv(fd, room.as_mut_ptr().cast(), room.len(), 0) };
        match errno() {
            _ if len >= 0 => return Ok(len as usize),
            libc::EINTR => {}
            errno => return Err(errno),
        }
    }
}

/// What tells this process from the one that a restart makes of it: when it was started.
pub fn start_time() -> u64 {
    let mut text = [0; 1024];
    let len = read_file(c"/proc/self/stat", &mut text);
    let text = &text[..len];
    let after_name = text.iter().rposition(|byte| *byte == b')').map_or(0, |end| end + 1);
    // proc_pid_stat(5): the third field comes after the name, this one is the 22nd.
    let field = text[after_name..].split(|byte| *byte == b' ').filter(|word| !word.is_empty()).nth(19);
    let digits = field.unwrap_or_default().iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

/// Handles [`SIGNAL`] from now on. Not for a signal handler.
pub fn install(handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void)) {
    // SAFETY: the action is live, and the handler has the type that SA_SIGINFO means.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(SIGNAL, &action, std::ptr::null_mut());
    }
}

/// Code and sender of a signal.
///
/// # Safety
/// What a handler with `SA_SIGINFO` was given.
pub unsafe fn sender(info: *const libc::siginfo_t) -> (c_int, c_int) {
    // SAFETY: as the caller says.
    unsafe { ((*info).si_code, (*info).si_pid()) }
}

/// Does something while this thread does not handle [`SIGNAL`]. Not for a signal handler.
pub fn with_signal_blocked<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are live and initialised.
    let before = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, SIGNAL);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before);
        before
    };
    let done = work();
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    done
}

/// Calls a function that was registered for an event, by its address; 0 for none.
pub fn call_event(function: usize, event: c_int) {
    if function != 0 {
        // SAFETY: only what cr_register_hook() was given is an address here.
        let function: extern "C" fn(c_int) = unsafe { std::mem::transmute(function) };
        function(event);
    }
}

/// In a thread that runs callbacks: nothing else is handled in it. Not for a signal handler.
pub fn block_all_signals() {
    // SAFETY: the set is live.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}

/// Does something at each fork: before it in the parent, and in the child. Not for a signal
/// handler.
pub fn at_fork(before: extern "C" fn(), child: extern "C" fn()) {
    unsafe extern "C" {
        fn pthread_atfork(
            prepare: Option<extern "C" fn()>,
            parent: Option<extern "C" fn()>,
            child: Option<extern "C" fn()>,
        ) -> c_int;
    }
    // SAFETY: the functions are of this type.
    unsafe { pthread_atfork(Some(before), None, Some(child)) };
}

/// Something to be called when a thread ends that has set a value. Not for a signal handler.
pub struct AtExit(libc::pthread_key_t);

impl AtExit {
    pub fn new(call: extern "C" fn(*mut libc::c_void)) -> AtExit {
        let mut key = 0;
        // SAFETY: the key is live.
        unsafe { libc::pthread_key_create(&mut key, Some(call)) };
        AtExit(key)
    }

    /// Has it called when this thread ends.
    pub fn set(&self) {
        // SAFETY: the key exists; the value is no pointer.
        unsafe { libc::pthread_setspecific(self.0, std::ptr::without_provenance(1)) };
    }
}

/// Starts a program as an orphan: nobody of this process waits for it, or gets a SIGCHLD. Its
/// standard input and output are the two descriptors; it has no others. Not for a signal handler.
///
/// # Errors
/// ENOSYS if it cannot be executed; otherwise an errno of pipe(2) or clone(2).
pub fn start(program: &std::ffi::CStr, args: &[std::ffi::CString], io: [c_int; 2]) -> Result<(), c_int> {
    /// Where the program would find the pipe by which is told that there is none.
    const TOLD: c_int = 3;
    let mut argv: Vec<*const libc::c_char> = args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    let mut pipe = [-1; 2];
    // SAFETY: the children make system calls only, and exec or exit; what they use was made before.
    // A child that execs would signal its end (fs/exec.c sets `exit_signal`); this one only clones
    // another.
    unsafe {
        if libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            return Err(errno());
        }
        let clone = || libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0);
        let child = clone();
        if child == 0 {
            if clone() != 0 {
                libc::_exit(0);
            }
            let [from, to, told] = [io[0], io[1], pipe[1]].map(|fd| libc::fcntl(fd, libc::F_DUPFD, TOLD + 1));
            libc::dup2(from, 0);
            libc::dup2(to, 1);
            libc::dup2(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR), 2);
            libc::dup3(told, TOLD, libc::O_CLOEXEC);
            libc::syscall(libc::SYS_close_range, TOLD + 1, u32::MAX, 0);
            libc::execv(program.as_ptr(), argv.as_ptr());
            libc::write(TOLD, [1u8].as_ptr().cast(), 1);
            libc::_exit(127);
        }
        close(pipe[1]);
        let mut failed = [0u8; 1];
        let done = match child {
            -1 => Err(errno()),
            _ => {
                while libc::waitpid(child as c_int, std::ptr::null_mut(), libc::__WCLONE) < 0
                    && errno() == libc::EINTR
                {}
                let mut told;
                loop {
                    told = libc::read(pipe[0], failed.as_mut_ptr().cast(), 1);
                    if told >= 0 || errno() != libc::EINTR {
                        break;
                    }
                }
                if told == 0 { Ok(()) } else { Err(libc::ENOSYS) }
            }
        };
        close(pipe[0]);
        done
    }
}

/// A connection to ourselves. Not for a signal handler.
///
/// # Errors
/// An errno of socketpair(2).
pub fn pair() -> Result<[c_int; 2], c_int> {
    let mut fds = [-1; 2];
    // SAFETY: there is room for two.
    let done = unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr())
    };
    if done == 0 { Ok(fds) } else { Err(errno()) }
}

/// Waits until there is something to be read, or the time is over: whether there is.
///
/// # Errors
/// An errno of poll(2), EINTR among them.
pub fn await_readable(fd: c_int, milliseconds: c_int) -> Result<bool, c_int> {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: there is one.
    match unsafe { libc::poll(&mut poll, 1, milliseconds) } {
        -1 => Err(errno()),
        ready => Ok(ready > 0),
    }
}

/// Whether a descriptor is open to be written.
pub fn is_writable(fd: c_int) -> bool {
    // SAFETY: numbers only.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags >= 0 && [libc::O_WRONLY, libc::O_RDWR].contains(&(flags & libc::O_ACCMODE))
}

/// Whether a process, or a group if the number is negative, exists and is ours.
///
/// # Errors
/// ESRCH; EPERM.
pub fn look_for(pid: c_int) -> Result<(), c_int> {
    // SAFETY: numbers only.
    if unsafe { libc::kill(pid, 0) } == 0 { Ok(()) } else { Err(errno()) }
}

/// The process group or the session of this process.
pub fn own_group(session: bool) -> c_int {
    // SAFETY: numbers only.
    unsafe { if session { libc::getsid(0) } else { libc::getpgrp() } }
}
