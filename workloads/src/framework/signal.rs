//! Signals as the kernel sees them: actions, masks, queues and siginfo.

use super::{Outcome, sync, sys};
use anyhow::{Context as _, Result};
use std::ptr;

/// Bytes in the kernel's signal set.
const SET: usize = 8;

/// Bytes of a siginfo that the kernel keeps (kernel_siginfo, since 4.20); the rest of the 128 is
/// zero.
pub const INFO_KEPT: usize = 48;

/// Where the union of siginfo starts: after three ints, aligned for a pointer.
const UNION: usize = if cfg!(target_pointer_width = "64") { 16 } else { 12 };

/// A handler with SA_SIGINFO.
pub type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The kernel's struct sigaction, with the restorer that libc hides.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    pub handler: usize,
    pub flags: libc::c_ulong,
    pub restorer: usize,
    pub mask: u64,
}

/// The bit of `signal` in a mask.
pub fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// The bits of all `signals`.
pub fn bits(signals: &[i32]) -> u64 {
    signals.iter().fold(0, |mask, signal| mask | bit(*signal))
}

/// The action of `signal`.
pub fn action(signal: i32) -> Result<Action> {
    let mut action = Action::default();
    // SAFETY: the kernel writes one struct of exactly this layout; no new action is passed.
    sys::check("rt_sigaction", unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, ptr::null::<Action>(), &mut action, SET)
    })
    .with_context(|| format!("action of signal {signal}"))?;
    Ok(action)
}

/// Sets an action exactly as given, restorer included. The caller is responsible for its addresses.
pub fn set_action(signal: i32, action: &Action) -> Outcome {
    // SAFETY: the kernel reads one struct of exactly this layout. A handler that is no code is
    // never run: callers keep such signals from being delivered.
    sys::check("rt_sigaction", unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, action, ptr::null::<Action>(), SET)
    })
    .with_context(|| format!("set the action of signal {signal}"))?;
    Ok(())
}

/// Installs `handler` through libc, with SA_SIGINFO, `flags` and a mask of `blocked`.
pub fn handle(signal: i32, handler: Handler, flags: i32, blocked: &[i32]) -> Outcome {
    // SAFETY: the struct is fully initialised; the handler has the signature that SA_SIGINFO asks
    // for.
    sys::check("sigaction", unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = flags | libc::SA_SIGINFO;
        action.sa_mask = sys::signal_set(blocked);
        libc::sigaction(signal, &action, ptr::null_mut())
    })?;
    Ok(())
}

/// Ignores `signal`.
pub fn ignore(signal: i32) -> Outcome {
    set_action(signal, &Action { handler: libc::SIG_IGN, ..Action::default() })
}

/// The default action for `signal`.
pub fn default(signal: i32) -> Outcome {
    set_action(signal, &Action::default())
}

/// The calling thread's mask, with the two signals that libc reserves.
pub fn mask() -> Result<u64> {
    change_mask(libc::SIG_BLOCK, 0)
}

/// Replaces the calling thread's mask; returns the old one.
pub fn set_mask(mask: u64) -> Result<u64> {
    change_mask(libc::SIG_SETMASK, mask)
}

/// Adds to the calling thread's mask; returns the old one.
pub fn block(signals: &[i32]) -> Result<u64> {
    change_mask(libc::SIG_BLOCK, bits(signals))
}

/// Removes from the calling thread's mask; returns the old one.
pub fn unblock(signals: &[i32]) -> Result<u64> {
    change_mask(libc::SIG_UNBLOCK, bits(signals))
}

fn change_mask(how: i32, set: u64) -> Result<u64> {
    let mut old = 0u64;
    // SAFETY: both sets have the eight bytes that are specified.
    sys::check("rt_sigprocmask", unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, how, &set, &mut old, SET)
    })?;
    Ok(old)
}

/// Signals pending for the calling thread, in its own queue or the process's.
pub fn pending() -> Result<u64> {
    let mut set = 0u64;
    // SAFETY: the kernel writes the eight bytes that are specified.
    sys::check("rt_sigpending", unsafe { libc::syscall(libc::SYS_rt_sigpending, &mut set, SET) })?;
    Ok(set)
}

/// kill(2).
pub fn kill(pid: libc::pid_t, signal: i32) -> Outcome {
    // SAFETY: kill takes no memory.
    sys::check("kill", unsafe { libc::kill(pid, signal) })
        .with_context(|| format!("signal {signal} to {pid}"))?;
    Ok(())
}

/// sigqueue(3): to the process queue, with a value.
pub fn queue(pid: libc::pid_t, signal: i32, value: usize) -> Outcome {
    let value = libc::sigval { sival_ptr: value as *mut _ };
    // SAFETY: the value is passed on as a number.
    sys::check("sigqueue", unsafe { libc::sigqueue(pid, signal, value) })
        .with_context(|| format!("queue signal {signal} to {pid}"))?;
    Ok(())
}

/// tgkill(2): to the thread's own queue.
pub fn tgkill(pid: libc::pid_t, tid: libc::pid_t, signal: i32) -> Outcome {
    // SAFETY: tgkill takes no memory.
    sys::check("tgkill", unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) })
        .with_context(|| format!("signal {signal} to thread {tid}"))?;
    Ok(())
}

/// rt_tgsigqueueinfo(2) with SI_QUEUE: to the thread's own queue, with a value.
pub fn queue_thread(pid: libc::pid_t, tid: libc::pid_t, signal: i32, value: usize) -> Outcome {
    let mut info = Info([0; 128]);
    info.0[..4].copy_from_slice(&signal.to_ne_bytes());
    info.0[8..12].copy_from_slice(&libc::SI_QUEUE.to_ne_bytes());
    info.0[UNION..UNION + 4].copy_from_slice(&sys::getpid().to_ne_bytes());
    info.0[UNION + 8..UNION + 8 + size_of::<usize>()].copy_from_slice(&value.to_ne_bytes());
    // SAFETY: the kernel reads one siginfo, which is 128 bytes.
    sys::check("rt_tgsigqueueinfo", unsafe {
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, tid, signal, info.0.as_ptr())
    })?;
    Ok(())
}

/// The 128 bytes of siginfo_t.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Info(pub [u8; 128]);

impl std::fmt::Debug for Info {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "signal {} code {} union {:02x?}", self.signal(), self.code(), &self.0[UNION..INFO_KEPT])
    }
}

impl Info {
    fn int(&self, at: usize) -> i32 {
        i32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    pub fn signal(&self) -> i32 {
        self.int(0)
    }

    /// SI_USER, SI_QUEUE, SI_TKILL, SI_TIMER, CLD_…
    pub fn code(&self) -> i32 {
        self.int(8)
    }

    /// The sender, or for SIGCHLD the child.
    pub fn pid(&self) -> i32 {
        self.int(UNION)
    }

    pub fn uid(&self) -> u32 {
        self.int(UNION + 4).cast_unsigned()
    }

    /// The value sent by sigqueue or a timer.
    pub fn value(&self) -> usize {
        let mut bytes = [0; size_of::<usize>()];
        bytes.copy_from_slice(&self.0[UNION + 8..UNION + 8 + size_of::<usize>()]);
        usize::from_ne_bytes(bytes)
    }

    /// For SI_TIMER: the kernel's id of the timer.
    pub fn timer(&self) -> i32 {
        self.int(UNION)
    }

    /// For SI_TIMER: expirations that were not queued one by one.
    pub fn overrun(&self) -> i32 {
        self.int(UNION + 4)
    }

    /// For a signal set by F_SETSIG: the file descriptor that is ready.
    pub fn descriptor(&self) -> i32 {
        self.int(UNION + 8)
    }

    /// For SIGCHLD: exit code or signal.
    pub fn status(&self) -> i32 {
        self.int(UNION + 8)
    }
}

/// Takes one pending signal of `signals` (which are blocked) without waiting.
pub fn take(signals: &[i32]) -> Result<Option<Info>> {
    wait(signals, std::time::Duration::ZERO)
}

/// Takes one signal of `signals` (which are blocked), waiting for it up to the deadline.
pub fn take_soon(signals: &[i32]) -> Result<Info> {
    wait(signals, sync::time_left())?
        .with_context(|| format!("timed out waiting for one of signals {signals:?}"))
}

/// rt_sigtimedwait(2), repeated if a handler interrupted it.
pub fn wait(signals: &[i32], limit: std::time::Duration) -> Result<Option<Info>> {
    let set = bits(signals);
    let end = std::time::Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        let timeout = libc::timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ };
        let mut info = Info([0; 128]);
        // SAFETY: set, info and timeout have the kernel's layout and live through the call.
        let rc =
            unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &set, info.0.as_mut_ptr(), &timeout, SET) };
        match sys::errno_of(rc) {
            None => return Ok(Some(info)),
            Some(libc::EAGAIN) => return Ok(None),
            Some(libc::EINTR) => {}
            Some(errno) => return Err(std::io::Error::from_raw_os_error(errno)).context("rt_sigtimedwait"),
        }
    }
}

/// rt_sigtimedwait(2) without a timeout, once: an interruption is an error.
pub fn wait_forever(signals: &[i32]) -> Result<Info> {
    let set = bits(signals);
    let mut info = Info([0; 128]);
    // SAFETY: set and info have the kernel's layout and live through the call; no timeout is
    // passed.
    sys::check("rt_sigtimedwait", unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &set,
            info.0.as_mut_ptr(),
            ptr::null::<libc::timespec>(),
            SET,
        )
    })?;
    Ok(info)
}
