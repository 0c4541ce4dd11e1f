//! The open device, and a method for every ioctl.
//!
//! # Safety
//! Every method is safe to call: addresses in the arguments come from live borrows, and lengths
//! from the values that they belong to.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use crate::argument::{
    Action, Actions, Argument, Capability, Continue, Freeze, Info, Pending, Policy, Process, Range, Regset,
    Save, Thaw, Thread, Timer,
};
use crate::{
    DEVICE, IOC_CONTINUE, IOC_FREEZE, IOC_GET_ACTIONS, IOC_GET_CAPABILITY, IOC_GET_INFO, IOC_GET_PENDING,
    IOC_GET_POLICY, IOC_GET_PROCESS, IOC_GET_REGSET, IOC_GET_THREAD, IOC_GET_TIMER, IOC_SAVE, IOC_THAW,
    POLICY_ADDR, SIGINFO_SIZE, SIGNALS,
};

/// The open device: a session, which keeps processes frozen until it is closed.
#[derive(Debug)]
pub struct Device(File);

impl AsRawFd for Device {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Device {
    /// Opens the device.
    ///
    /// # Errors
    /// ENOENT: the module is not loaded; EACCES: no permission for the device.
    pub fn open() -> io::Result<Device> {
        File::options().read(true).write(true).open(DEVICE).map(Device)
    }

    /// Version and features of the module.
    ///
    /// # Errors
    /// ENOTTY: the device is not that of the module.
    pub fn info(&self) -> io::Result<Info> {
        self.ioctl(IOC_GET_INFO, |_: &mut Info| {})
    }

    /// Makes an ioctl; fields that `fill` does not set are zero.
    fn ioctl<A: Argument>(&self, nr: libc::Ioctl, fill: impl FnOnce(&mut A)) -> io::Result<A> {
        // SAFETY: zeros are a valid argument.
        let mut arg: A = unsafe { std::mem::zeroed() };
        fill(&mut arg);
        // SAFETY: the argument begins with its size, beyond which the module does not write, and
        // is exclusive for the call. Addresses in it are those of buffers that the callers below
        // borrow, with the lengths that they pass.
        let result = unsafe {
            (&raw mut arg).cast::<u32>().write(size_of::<A>() as u32);
            libc::ioctl(self.0.as_raw_fd(), nr, &raw mut arg)
        };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(arg) }
    }

    /// Freezes a process: stops every thread of it. Returns the number of threads.
    ///
    /// # Errors
    /// See the header: ESRCH, EPERM, EDEADLK, EBUSY (traced), EOPNOTSUPP, ETIMEDOUT.
    pub fn freeze(&self, pid: i32, flags: u32, timeout: Duration) -> io::Result<u32> {
        let timeout_ms = timeout.as_millis().try_into().unwrap_or(u32::MAX);
        self.ioctl(IOC_FREEZE, |freeze: &mut Freeze| {
            (freeze.pid, freeze.flags, freeze.timeout_ms) = (pid, flags, timeout_ms)
        })
        .map(|freeze| freeze.threads)
    }

    /// Thaws a process.
    ///
    /// # Errors
    /// ESRCH: the session has not frozen it.
    pub fn thaw(&self, pid: i32) -> io::Result<()> {
        self.ioctl(IOC_THAW, |thaw: &mut Thaw| thaw.pid = pid).map(drop)
    }

    /// State of one thread. As with every method below that takes a TID or a PID, the session
    /// must have frozen the process.
    ///
    /// # Errors
    /// ESRCH: not frozen, or exited; ESTALE: it was stopped, and was resumed since.
    pub fn thread(&self, tid: i32) -> io::Result<Thread> {
        self.ioctl(IOC_GET_THREAD, |thread: &mut Thread| thread.tid = tid)
    }

    /// Reads a register set into `buf`; returns the number of bytes.
    ///
    /// # Errors
    /// EINVAL, ENODEV: there is no such set. Those of [`Device::thread`].
    pub fn regset(&self, tid: i32, note: u32, buf: &mut [u8]) -> io::Result<usize> {
        let (addr, len) = (buf.as_mut_ptr() as u64, buf.len() as u64);
        self.ioctl(IOC_GET_REGSET, |set: &mut Regset| {
            (set.tid, set.note, set.addr, set.len) = (tid, note, addr, len);
        })
        .map(|set| set.len as usize)
    }

    /// Pending signals of the thread, or of its process, in the order of the queue.
    ///
    /// # Errors
    /// Those of [`Device::thread`].
    pub fn pending(&self, tid: i32, shared: bool) -> io::Result<Vec<[u8; SIGINFO_SIZE]>> {
        let mut room = 32;
        loop {
            let mut all = vec![[0u8; SIGINFO_SIZE]; room];
            let addr = all.as_mut_ptr() as u64;
            let answer = self.ioctl(IOC_GET_PENDING, |pending: &mut Pending| {
                (pending.tid, pending.shared) = (tid, shared.into());
                (pending.addr, pending.count) = (addr, room as u64);
            })?;
            let count = answer.count as usize;
            if count <= room {
                all.truncate(count);
                return Ok(all);
            }
            // More signals may be sent before the next call.
            room = count + 32;
        }
    }

    /// State that the threads of a process share.
    ///
    /// # Errors
    /// Those of [`Device::thread`].
    pub fn process(&self, pid: i32) -> io::Result<Process> {
        self.ioctl(IOC_GET_PROCESS, |process: &mut Process| process.pid = pid)
    }

    /// The actions of all signals, beginning with signal 1.
    ///
    /// # Errors
    /// Those of [`Device::thread`].
    pub fn actions(&self, pid: i32) -> io::Result<Vec<Action>> {
        let mut all = vec![Action::default(); SIGNALS];
        let addr = all.as_mut_ptr() as u64;
        self.ioctl(IOC_GET_ACTIONS, |actions: &mut Actions| (actions.pid, actions.addr) = (pid, addr))?;
        Ok(all)
    }

    /// A POSIX timer.
    ///
    /// # Errors
    /// ENOENT: no such timer; EOPNOTSUPP: the module does not support its clock. Those of
    /// [`Device::thread`].
    pub fn timer(&self, pid: i32, id: i32) -> io::Result<Timer> {
        self.ioctl(IOC_GET_TIMER, |timer: &mut Timer| (timer.pid, timer.id) = (pid, id))
    }

    /// The memory policy of a thread, or that of the memory at an address.
    ///
    /// # Errors
    /// ENOENT: nothing is mapped at the address; EOPNOTSUPP: the kernel has no memory policies.
    /// Those of [`Device::thread`].
    pub fn policy(&self, tid: i32, at: Option<u64>) -> io::Result<Policy> {
        self.ioctl(IOC_GET_POLICY, |policy: &mut Policy| {
            let flags = if at.is_some() { POLICY_ADDR } else { 0 };
            (policy.tid, policy.flags, policy.addr) = (tid, flags, at.unwrap_or(0));
        })
    }

    /// Writes memory to `file` at the file position, which advances; also pages without read
    /// permission. Bit n % 64 of `saved[n / 64]` is set if page n of all ranges was saved.
    ///
    /// # Errors
    /// See the header: ESRCH, ESTALE, EBADF, EINVAL, EFAULT (not mapped), and those of write(2).
    ///
    /// # Panics
    /// When `saved` has less than one bit for each page.
    pub fn save(
        &self,
        pid: i32,
        file: BorrowedFd<'_>,
        ranges: &[Range],
        saved: &mut [u64],
    ) -> io::Result<Save> {
        let bytes: usize = ranges.iter().map(|range| range.len as usize).sum();
        assert!(bytes.div_ceil(rustix::param::page_size()) <= saved.len() * 64, "a bit for each page");
        self.ioctl(IOC_SAVE, |save: &mut Save| {
            (save.pid, save.fd, save.count) = (pid, file.as_raw_fd(), ranges.len() as u32);
            (save.ranges, save.saved) = (ranges.as_ptr() as u64, saved.as_mut_ptr() as u64);
        })
    }

    /// Gives the calling thread CAP_CHECKPOINT_RESTORE; the process is not dumpable afterwards.
    ///
    /// # Errors
    /// EPERM: no_new_privs, or a bounding set without the capability.
    pub fn acquire_checkpoint_capability(&self) -> io::Result<()> {
        self.ioctl(IOC_GET_CAPABILITY, |_: &mut Capability| {}).map(drop)
    }

    /// Gives a sleep to continue to a thread in a ptrace stop that the calling thread traces.
    ///
    /// # Errors
    /// See the header: ESRCH, EPERM (not its tracer), EAGAIN (not stopped), EINVAL.
    pub fn proceed(&self, how: Continue) -> io::Result<()> {
        self.ioctl(IOC_CONTINUE, |argument: &mut Continue| *argument = how).map(drop)
    }
}
