//! The kernel module's device: the mirror of `kmod/uapi/cairn.h`, and its ioctls.
//!
//! Every structure and constant of that header has its counterpart here and a line in [`layout`]. `cargo xtask
//! header-check` compares that with what a C compiler makes of the header. The rules of the ABI stand in the header.

use super::cvt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// `CAIRN_ABI_VERSION`: what this program was written for.
pub const ABI_VERSION: u32 = 1;
/// `CAIRN_DEVICE`
pub const DEVICE: &str = "/dev/cairn";
/// `CAIRN_IOC_TYPE`
pub const IOC_TYPE: u32 = 0xC7;
/// `CAIRN_FEATURE_ACCESS`: the module can judge whether the caller may reach into another task.
pub const FEATURE_ACCESS: u64 = 1 << 0;
/// `CAIRN_FEATURE_FREEZE`: threads can be held, and looked into while they are.
pub const FEATURE_FREEZE: u64 = 1 << 1;
/// `CAIRN_FEATURE_CONTINUE`: a thread can go on with a sleep for the time that was left.
pub const FEATURE_CONTINUE: u64 = 1 << 2;
/// `CAIRN_FEATURE_RESTORER`: ordinary users can restart what was theirs.
pub const FEATURE_RESTORER: u64 = 1 << 3;
/// `CAIRN_FEATURE_SAVE`: memory goes from where it is into a file.
pub const FEATURE_SAVE: u64 = 1 << 4;
/// `CAIRN_FEATURE_SETTINGS`: what threads and processes have set for themselves.
pub const FEATURE_SETTINGS: u64 = 1 << 5;
/// `CAIRN_FREEZE_TRACED`: hold also what a tracer traces.
pub const FREEZE_TRACED: u32 = 1;
/// `CAIRN_STATE_FROZEN`: a thread is in the module.
pub const STATE_FROZEN: u32 = 0;
/// `CAIRN_STATE_STOPPED`: it is stopped by a signal.
pub const STATE_STOPPED: u32 = 1;
/// `CAIRN_STATE_TRACED`: it is stopped by a tracer.
pub const STATE_TRACED: u32 = 2;
/// `CAIRN_SLEEP_NONE`: a thread was not interrupted in a call with time left.
pub const SLEEP_NONE: u32 = 0;
/// `CAIRN_SLEEP_NANO`: in nanosleep(2) or clock_nanosleep(2).
pub const SLEEP_NANO: u32 = 1;
/// `CAIRN_SLEEP_POLL`: in poll(2).
pub const SLEEP_POLL: u32 = 2;
/// `CAIRN_SLEEP_FUTEX`: in futex(2).
pub const SLEEP_FUTEX: u32 = 3;
/// `CAIRN_SLEEP_OTHER`: in one that the module does not know.
pub const SLEEP_OTHER: u32 = 4;
/// `CAIRN_SLEEP_CALL`: about to make a call that ends by itself.
pub const SLEEP_CALL: u32 = 5;
/// `CAIRN_SAVE_MAX`: bytes that one request may save.
pub const SAVE_MAX: usize = 1 << 20;
/// `CAIRN_SAVE_RANGES`: ranges of one request.
pub const SAVE_RANGES: usize = 256;
/// `CAIRN_RANGE_ZEROS`: pages of zeros are saved, too.
pub const RANGE_ZEROS: u32 = 1;
/// `CAIRN_SIGINFO_SIZE`
pub const SIGINFO_SIZE: usize = 128;
/// `CAIRN_RLIMITS`
pub const RLIMITS: usize = 16;
/// `CAIRN_SIGNALS`
pub const SIGNALS: usize = 64;
/// `CAIRN_IOC_GET_INFO`
pub const IOC_GET_INFO: libc::Ioctl = libc::_IO(IOC_TYPE, 0x00);
/// `CAIRN_IOC_FREEZE`
pub const IOC_FREEZE: libc::Ioctl = libc::_IO(IOC_TYPE, 0x10);
/// `CAIRN_IOC_THAW`
pub const IOC_THAW: libc::Ioctl = libc::_IO(IOC_TYPE, 0x11);
/// `CAIRN_IOC_GET_THREAD`
pub const IOC_GET_THREAD: libc::Ioctl = libc::_IO(IOC_TYPE, 0x12);
/// `CAIRN_IOC_GET_REGSET`
pub const IOC_GET_REGSET: libc::Ioctl = libc::_IO(IOC_TYPE, 0x13);
/// `CAIRN_IOC_GET_PENDING`
pub const IOC_GET_PENDING: libc::Ioctl = libc::_IO(IOC_TYPE, 0x14);
/// `CAIRN_IOC_GET_PROCESS`
pub const IOC_GET_PROCESS: libc::Ioctl = libc::_IO(IOC_TYPE, 0x15);
/// `CAIRN_IOC_GET_ACTIONS`
pub const IOC_GET_ACTIONS: libc::Ioctl = libc::_IO(IOC_TYPE, 0x16);
/// `CAIRN_IOC_GET_TIMER`
pub const IOC_GET_TIMER: libc::Ioctl = libc::_IO(IOC_TYPE, 0x17);
/// `CAIRN_IOC_SAVE`
pub const IOC_SAVE: libc::Ioctl = libc::_IO(IOC_TYPE, 0x19);
/// `CAIRN_IOC_BECOME_RESTORER`
pub const IOC_BECOME_RESTORER: libc::Ioctl = libc::_IO(IOC_TYPE, 0x1a);
/// `CAIRN_NODE_WORDS`: words of a set of memory nodes.
pub const NODE_WORDS: usize = 16;
/// `CAIRN_POLICY_ADDR`: the memory policy at an address instead of the thread's own.
pub const POLICY_ADDR: u32 = 1;
/// `CAIRN_IOC_GET_POLICY`
pub const IOC_GET_POLICY: libc::Ioctl = libc::_IO(IOC_TYPE, 0x1b);
/// `CAIRN_SLEEP_MAX`
pub const SLEEP_MAX: u64 = 1 << 62;
/// `CAIRN_IOC_CONTINUE`
pub const IOC_CONTINUE: libc::Ioctl = libc::_IO(IOC_TYPE, 0x18);

/// What features are called, bit by bit.
const FEATURES: &[(u64, &str)] = &[
    (FEATURE_ACCESS, "access"),
    (FEATURE_FREEZE, "freeze"),
    (FEATURE_CONTINUE, "continue"),
    (FEATURE_RESTORER, "restorer"),
    (FEATURE_SAVE, "save"),
    (FEATURE_SETTINGS, "settings"),
];

/// `struct cairn_info`: what the loaded module is and can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Info {
    /// Bytes of this structure.
    pub size: u32,
    /// `CAIRN_ABI_VERSION` of the module.
    pub abi_version: u32,
    /// `FEATURE_*`
    pub features: u64,
    /// Its version, ended by a zero byte.
    pub version: [u8; 32],
    /// SHA-256 of its sources in hexadecimal digits, ended by a zero byte.
    pub source: [u8; 72],
}

// SAFETY: integers and arrays of bytes, without padding.
unsafe impl Argument for Info {}

impl Info {
    /// The module's version.
    pub fn version(&self) -> String {
        text(&self.version)
    }

    /// The digest of its sources; empty when its build did not know it.
    pub fn source(&self) -> String {
        text(&self.source)
    }

    /// The names of its features; of one that this program does not know the bit.
    pub fn features(&self) -> Vec<String> {
        let bits = (0..u64::BITS).map(|bit| 1 << bit).filter(|bit| self.features & bit != 0);
        bits.map(|bit| match FEATURES.iter().find(|(known, _)| *known == bit) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("{bit:#x}"),
        })
        .collect()
    }

    /// Whether this program speaks the module's ABI.
    pub fn is_spoken(&self) -> bool {
        self.abi_version == ABI_VERSION
    }
}

/// The text before the first zero byte.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// An argument of an ioctl. Zeros are a valid one.
///
/// # Safety
/// `repr(C)`, of integers and arrays of them, without padding, with the size first.
unsafe trait Argument: Copy {}

/// Declares the structures of the ABI with their ioctls, which are filled by the module.
macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            #[repr(C)]
            pub struct $name {
                /// Bytes of this structure.
                pub size: u32,
                $($(#[$field_doc])* pub $field: $type,)*
            }
            // SAFETY: integers only, and `cargo xtask header-check` finds holes.
            unsafe impl Argument for $name {}
        )*
    };
}

arguments! {
    /// `struct cairn_freeze`: stop every thread of a process.
    Freeze {
        /// Whom.
        pid: i32,
        /// `HOLD_*`
        flags: u32,
        /// How long to wait for threads that do not stop.
        timeout_ms: u32,
        /// Threads held, told by the module.
        threads: u32,
        /// 0
        reserved: u32,
    }
    /// `struct cairn_thaw`: let a process go.
    Thaw {
        /// Whom; 0 for all.
        pid: i32,
    }
    /// `struct cairn_thread`: what is a thread's own.
    Thread {
        /// Which.
        tid: i32,
        /// `STATE_*`
        state: u32,
        /// What stopped it; 0 when nothing did.
        stop_signal: u32,
        /// Blocked signals, bit n-1 for signal n.
        sigmask: u64,
        /// Alternate signal stack: lowest address.
        altstack_sp: u64,
        /// Its size.
        altstack_size: u64,
        /// `SS_*`
        altstack_flags: u32,
        /// Parent-death signal.
        pdeath_signal: u32,
        /// `set_tid_address(2)`
        clear_child_tid: u64,
        /// Restartable sequence area; 0 for none.
        rseq: u64,
        /// Its length.
        rseq_len: u32,
        /// Its signature.
        rseq_signature: u32,
        /// Nanoseconds.
        timer_slack: u64,
        /// `SECBIT_*`
        securebits: u32,
        /// `PR_GET_TSC`; 0 where there is no such setting.
        tsc: u32,
        /// `PR_MCE_KILL_GET`
        mce_kill: u32,
        /// `SLEEP_*`
        sleep: u32,
        /// Clock of the sleep's end.
        sleep_clock: i32,
        /// 0
        reserved: u32,
        /// Nanoseconds to the sleep's end.
        sleep_left: u64,
        /// Of the call that sleeps, as in [`Continue`].
        sleep_args: [u64; 4],
        /// `PR_GET_SPECULATION_CTRL` of store bypass: what it returns, an error as -errno.
        spec_store_bypass: i32,
        /// The same of indirect branches.
        spec_indirect_branch: i32,
        /// The same of the L1D flush.
        spec_l1d_flush: i32,
        /// `PR_RSEQ_SLICE_EXTENSION_GET`: what it returns.
        rseq_slice: i32,
        /// `ARCH_GET_CPUID`: what it returns; -EOPNOTSUPP where there is no such call.
        cpuid: i32,
        /// 1 with `PR_SET_SYSCALL_USER_DISPATCH`.
        dispatch: u32,
        /// Segments that set_thread_area(2) has set.
        tls: u32,
        /// 1 with ports of ioperm(2) or a level of iopl(2).
        io_ports: u32,
        /// 1 with a cookie of `PR_SCHED_CORE`.
        core_cookie: u32,
        /// 1 when semop(2) has something to undo at its end.
        sem_undo: u32,
    }
    /// `struct cairn_regset`: a register set.
    Regset {
        /// Whose.
        tid: i32,
        /// ELF note type.
        note: u32,
        /// 0
        reserved: u32,
        /// Where it goes.
        addr: u64,
        /// Room there, then bytes of the set.
        len: u64,
    }
    /// `struct cairn_pending`: queued signals.
    Pending {
        /// Whose.
        tid: i32,
        /// 1 for the queue of the process.
        shared: u32,
        /// 0
        reserved: u32,
        /// Where they go.
        addr: u64,
        /// Room for so many, then how many there are.
        count: u64,
    }
    /// `struct cairn_process`: what the threads of a process share.
    Process {
        /// Which.
        pid: i32,
        /// End of the heap.
        brk: u64,
        /// 1 for `MCL_FUTURE`, 2 with `MCL_ONFAULT`.
        lock_future: u32,
        /// Allocated protection keys, bit n for key n.
        pkeys: u32,
        /// `PR_GET_DUMPABLE`
        dumpable: u32,
        /// `PR_GET_THP_DISABLE`
        thp_disable: u32,
        /// `PR_GET_CHILD_SUBREAPER`
        subreaper: u32,
        /// Signal of a stop that the parent has not waited for.
        stop_report: u32,
        /// `ITIMER_REAL`, nanoseconds until it fires.
        real_value: u64,
        /// Its period.
        real_interval: u64,
        /// `ITIMER_VIRTUAL`
        virt_value: u64,
        /// Its period.
        virt_interval: u64,
        /// `ITIMER_PROF`
        prof_value: u64,
        /// Its period.
        prof_interval: u64,
        /// Soft limits.
        rlim_cur: [u64; RLIMITS],
        /// Hard limits.
        rlim_max: [u64; RLIMITS],
        /// 1 when the parent has not waited for it to have gone on after a stop.
        continue_report: u32,
        /// `MEMBARRIER_CMD_GET_REGISTRATIONS`: what it returns, on kernels without it, too; -EOPNOTSUPP where there is no such call.
        membarrier: i32,
        /// `PR_GET_MDWE`: what it returns.
        mdwe: i32,
        /// `PR_GET_MEMORY_MERGE`: what it returns.
        memory_merge: i32,
        /// Bytes of the table of modify_ldt(2); -EOPNOTSUPP where there is no such call.
        ldt: i32,
        /// `ARCH_GET_XCOMP_PERM`: what it returns.
        xcomp_error: i32,
        /// `ARCH_GET_UNTAG_MASK`: what it returns.
        untag_error: i32,
        /// 0
        reserved: u32,
        /// `ARCH_GET_XCOMP_PERM`: what it stores.
        xcomp_perm: u64,
        /// `ARCH_GET_UNTAG_MASK`: what it stores.
        untag_mask: u64,
    }
    /// `struct cairn_actions`: the actions of signals.
    Actions {
        /// Whose.
        pid: i32,
        /// Where they go.
        addr: u64,
    }
    /// `struct cairn_save`: memory of a process, into a file.
    Save {
        /// Whose.
        pid: i32,
        /// Into which.
        fd: i32,
        /// How many ranges.
        count: u32,
        /// Where these are.
        ranges: u64,
        /// Where a bit for each page goes.
        saved: u64,
        /// Where it was written to.
        offset: u64,
        /// Bytes written.
        len: u64,
        /// Their checksum.
        sum: u64,
    }
    /// `struct cairn_restorer`: become one who may restart processes.
    Restorer {
        /// 0
        reserved: u32,
    }
    /// `struct cairn_policy`: a memory policy.
    Policy {
        /// Whose.
        tid: i32,
        /// `POLICY_*`
        flags: u32,
        /// `MPOL_*` with its flags.
        mode: u32,
        /// Where.
        addr: u64,
        /// Bit n%64 of word n/64 for node n.
        nodes: [u64; NODE_WORDS],
    }
    /// `struct cairn_continue`: a sleep for a thread to go on with.
    Continue {
        /// Which thread.
        tid: i32,
        /// `SLEEP_*`
        sleep: u32,
        /// `CLOCK_*`
        clock: i32,
        /// Nanoseconds until it is over.
        left: u64,
        /// Of the call that slept, see the header.
        args: [u64; 4],
        /// 0
        reserved: u64,
    }
    /// `struct cairn_timer`: the setting of a POSIX timer.
    Timer {
        /// Whose.
        pid: i32,
        /// Its id.
        id: i32,
        /// `CLOCK_*`
        clock: i32,
        /// Nanoseconds until it fires; 0 when it is not armed.
        value: u64,
        /// Its period.
        interval: u64,
    }
}

/// `struct cairn_action`: what a signal does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Action {
    /// Address, `SIG_DFL` or `SIG_IGN`.
    pub handler: u64,
    /// `SA_*`
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Signals blocked meanwhile.
    pub mask: u64,
}

/// `struct cairn_range`: memory that is to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Range {
    /// Whole pages.
    pub from: u64,
    /// Bytes.
    pub len: u32,
    /// `RANGE_*`
    pub flags: u32,
}

/// The open device: a session, which holds processes until it is closed.
#[derive(Debug)]
pub struct Device(File);

impl AsRawFd for Device {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl Device {
    /// Opens it.
    ///
    /// # Errors
    /// ENOENT when the module is not loaded, EACCES when the device is not for us.
    pub fn open() -> io::Result<Device> {
        File::options().read(true).write(true).open(DEVICE).map(Device)
    }

    /// Asks the module what it is.
    ///
    /// # Errors
    /// ENOTTY when the device is somebody else's.
    pub fn info(&self) -> io::Result<Info> {
        self.ioctl(IOC_GET_INFO, |_: &mut Info| {})
    }

    /// Makes an ioctl with zeros for everything that `fill` does not set.
    fn ioctl<A: Argument>(&self, nr: libc::Ioctl, fill: impl FnOnce(&mut A)) -> io::Result<A> {
        // SAFETY: zeros are a valid argument.
        let mut arg: A = unsafe { std::mem::zeroed() };
        fill(&mut arg);
        // SAFETY: the argument begins with its size, beyond which nothing is written; it is live and exclusive for the call. Where the
        // argument has an address, the callers below hand it with as much room as they say there is.
        unsafe {
            (&raw mut arg).cast::<u32>().write(size_of::<A>() as u32);
            cvt(libc::ioctl(self.0.as_raw_fd(), nr, &raw mut arg).into())?;
        }
        Ok(arg)
    }

    /// Stops every thread of a process. Returns how many there are.
    ///
    /// # Errors
    /// See the header: ESRCH, EPERM, EDEADLK, EBUSY (traced), EOPNOTSUPP, ETIMEDOUT (does not stop).
    pub fn freeze(&self, pid: i32, flags: u32, timeout: Duration) -> io::Result<u32> {
        let timeout_ms = timeout.as_millis().try_into().unwrap_or(u32::MAX);
        self.ioctl(IOC_FREEZE, |hold: &mut Freeze| {
            (hold.pid, hold.flags, hold.timeout_ms) = (pid, flags, timeout_ms)
        })
        .map(|hold| hold.threads)
    }

    /// Lets a process go.
    ///
    /// # Errors
    /// ESRCH: it is not held.
    pub fn thaw(&self, pid: i32) -> io::Result<()> {
        self.ioctl(IOC_THAW, |release: &mut Thaw| release.pid = pid).map(drop)
    }

    /// What is a thread's own. As with everything below, the thread's process has to be held.
    ///
    /// # Errors
    /// ESRCH: it is not held, or has ended.
    pub fn thread(&self, tid: i32) -> io::Result<Thread> {
        self.ioctl(IOC_GET_THREAD, |thread: &mut Thread| thread.tid = tid)
    }

    /// Reads a register set into `buf`; returns the bytes filled.
    ///
    /// # Errors
    /// EINVAL, ENODEV: there is none.
    pub fn regset(&self, tid: i32, note: u32, buf: &mut [u8]) -> io::Result<usize> {
        let (addr, len) = (buf.as_mut_ptr() as u64, buf.len() as u64);
        self.ioctl(IOC_GET_REGSET, |set: &mut Regset| {
            (set.tid, set.note, set.addr, set.len) = (tid, note, addr, len);
        })
        .map(|set| set.len as usize)
    }

    /// The queued signals of the thread, or of its process, in queue order.
    ///
    /// # Errors
    /// ESRCH
    pub fn pending(&self, tid: i32, shared: bool) -> io::Result<Vec<[u8; SIGINFO_SIZE]>> {
        let mut room = 32;
        loop {
            let mut all = vec![[0u8; SIGINFO_SIZE]; room];
            let addr = all.as_mut_ptr() as u64;
            let told = self.ioctl(IOC_GET_PENDING, |pending: &mut Pending| {
                (pending.tid, pending.shared) = (tid, shared.into());
                (pending.addr, pending.count) = (addr, room as u64);
            })?;
            let there = told.count as usize;
            if there <= room {
                all.truncate(there);
                return Ok(all);
            }
            // More may come while we ask again.
            room = there + 32;
        }
    }

    /// What the threads of a process share.
    ///
    /// # Errors
    /// ESRCH
    pub fn process(&self, pid: i32) -> io::Result<Process> {
        self.ioctl(IOC_GET_PROCESS, |process: &mut Process| process.pid = pid)
    }

    /// The actions of signals, that of signal 1 first.
    ///
    /// # Errors
    /// ESRCH
    pub fn actions(&self, pid: i32) -> io::Result<Vec<Action>> {
        let mut all = vec![Action::default(); SIGNALS];
        let addr = all.as_mut_ptr() as u64;
        self.ioctl(IOC_GET_ACTIONS, |actions: &mut Actions| (actions.pid, actions.addr) = (pid, addr))?;
        Ok(all)
    }

    /// The setting of a POSIX timer.
    ///
    /// # Errors
    /// ENOENT: there is none; EOPNOTSUPP: its clock is one that the module cannot read.
    pub fn timer(&self, pid: i32, id: i32) -> io::Result<Timer> {
        self.ioctl(IOC_GET_TIMER, |timer: &mut Timer| (timer.pid, timer.id) = (pid, id))
    }

    /// The memory policy of a thread, or that of its memory at an address.
    ///
    /// # Errors
    /// ENOENT: nothing is mapped there; EOPNOTSUPP: this kernel has no policies.
    pub fn policy(&self, tid: i32, at: Option<u64>) -> io::Result<Policy> {
        self.ioctl(IOC_GET_POLICY, |policy: &mut Policy| {
            let flags = if at.is_some() { POLICY_ADDR } else { 0 };
            (policy.tid, policy.flags, policy.addr) = (tid, flags, at.unwrap_or(0));
        })
    }

    /// Saves memory, also what the process itself may not read, to where `file` is positioned, which moves on. A bit of `saved` for each page
    /// says whether it was, beginning with the lowest of the first word; there have to be enough of them.
    ///
    /// # Errors
    /// See the header: ESRCH, EBADF, EINVAL, EFAULT (not all of it is there), and those of write(2).
    pub fn save(
        &self,
        pid: i32,
        file: BorrowedFd<'_>,
        ranges: &[Range],
        saved: &mut [u64],
    ) -> io::Result<Save> {
        let bytes: usize = ranges.iter().map(|range| range.len as usize).sum();
        assert!(bytes.div_ceil(super::page_size() as usize) <= saved.len() * 64, "a bit for each page");
        self.ioctl(IOC_SAVE, |save: &mut Save| {
            (save.pid, save.fd, save.count) = (pid, file.as_raw_fd(), ranges.len() as u32);
            (save.ranges, save.saved) = (ranges.as_ptr() as u64, saved.as_mut_ptr() as u64);
        })
    }

    /// Gives the calling thread CAP_CHECKPOINT_RESTORE; the process is not dumpable afterwards.
    ///
    /// # Errors
    /// EPERM: no_new_privs, or a bounding set without it.
    pub fn become_restorer(&self) -> io::Result<()> {
        self.ioctl(IOC_BECOME_RESTORER, |_: &mut Restorer| {}).map(drop)
    }

    /// Gives a thread that is stopped and traced by us a sleep to go on with.
    ///
    /// # Errors
    /// See the header: ESRCH, EPERM (not ours), EINVAL (no such sleep).
    pub fn proceed(&self, how: Continue) -> io::Result<()> {
        self.ioctl(IOC_CONTINUE, |argument: &mut Continue| *argument = how).map(drop)
    }
}

/// One line for everything in the header, as `cargo xtask header-check` reads it: `struct NAME SIZE`,
/// `field STRUCT.NAME OFFSET SIZE`, `const NAME VALUE`.
pub fn layout() -> Vec<String> {
    macro_rules! constants {
        ($lines:ident: $($name:literal = $value:expr),* $(,)?) => {
            $($lines.push(format!("const {} {}", $name, $value));)*
        };
    }
    macro_rules! structure {
        ($lines:ident: $name:literal = $rust:ident { $($field:ident),* $(,)? }) => {
            $lines.push(format!("struct {} {}", $name, size_of::<$rust>()));
            $($lines.push(format!(
                "field {}.{} {} {}",
                $name,
                stringify!($field),
                std::mem::offset_of!($rust, $field),
                size_of_field(|s: &$rust| &raw const s.$field),
            ));)*
        };
    }
    let mut lines = Vec::new();
    constants!(lines:
        "CAIRN_ABI_VERSION" = ABI_VERSION,
        "CAIRN_DEVICE" = DEVICE,
        "CAIRN_IOC_TYPE" = IOC_TYPE,
        "CAIRN_FEATURE_ACCESS" = FEATURE_ACCESS,
        "CAIRN_FEATURE_FREEZE" = FEATURE_FREEZE,
        "CAIRN_FREEZE_TRACED" = FREEZE_TRACED,
        "CAIRN_STATE_FROZEN" = STATE_FROZEN,
        "CAIRN_STATE_STOPPED" = STATE_STOPPED,
        "CAIRN_STATE_TRACED" = STATE_TRACED,
        "CAIRN_SLEEP_NONE" = SLEEP_NONE,
        "CAIRN_SLEEP_NANO" = SLEEP_NANO,
        "CAIRN_SLEEP_POLL" = SLEEP_POLL,
        "CAIRN_SLEEP_FUTEX" = SLEEP_FUTEX,
        "CAIRN_SLEEP_OTHER" = SLEEP_OTHER,
        "CAIRN_SLEEP_CALL" = SLEEP_CALL,
        "CAIRN_SIGINFO_SIZE" = SIGINFO_SIZE,
        "CAIRN_RLIMITS" = RLIMITS,
        "CAIRN_SIGNALS" = SIGNALS,
        "CAIRN_IOC_GET_INFO" = IOC_GET_INFO,
        "CAIRN_IOC_FREEZE" = IOC_FREEZE,
        "CAIRN_IOC_THAW" = IOC_THAW,
        "CAIRN_IOC_GET_THREAD" = IOC_GET_THREAD,
        "CAIRN_IOC_GET_REGSET" = IOC_GET_REGSET,
        "CAIRN_IOC_GET_PENDING" = IOC_GET_PENDING,
        "CAIRN_IOC_GET_PROCESS" = IOC_GET_PROCESS,
        "CAIRN_IOC_GET_ACTIONS" = IOC_GET_ACTIONS,
        "CAIRN_IOC_GET_TIMER" = IOC_GET_TIMER,
        "CAIRN_FEATURE_CONTINUE" = FEATURE_CONTINUE,
        "CAIRN_FEATURE_RESTORER" = FEATURE_RESTORER,
        "CAIRN_IOC_BECOME_RESTORER" = IOC_BECOME_RESTORER,
        "CAIRN_FEATURE_SAVE" = FEATURE_SAVE,
        "CAIRN_IOC_SAVE" = IOC_SAVE,
        "CAIRN_FEATURE_SETTINGS" = FEATURE_SETTINGS,
        "CAIRN_NODE_WORDS" = NODE_WORDS,
        "CAIRN_POLICY_ADDR" = POLICY_ADDR,
        "CAIRN_IOC_GET_POLICY" = IOC_GET_POLICY,
        "CAIRN_SAVE_MAX" = SAVE_MAX,
        "CAIRN_SAVE_RANGES" = SAVE_RANGES,
        "CAIRN_RANGE_ZEROS" = RANGE_ZEROS,
        "CAIRN_SLEEP_MAX" = SLEEP_MAX,
        "CAIRN_IOC_CONTINUE" = IOC_CONTINUE,
    );
    structure!(lines: "cairn_info" = Info { size, abi_version, features, version, source });
    structure!(lines: "cairn_freeze" = Freeze { size, pid, flags, timeout_ms, threads, reserved });
    structure!(lines: "cairn_thaw" = Thaw { size, pid });
    structure!(lines: "cairn_thread" = Thread {
        size, tid, state, stop_signal, sigmask, altstack_sp, altstack_size, altstack_flags, pdeath_signal, clear_child_tid, rseq,
        rseq_len, rseq_signature, timer_slack, securebits, tsc, mce_kill, sleep, sleep_clock, reserved, sleep_left, sleep_args,
        spec_store_bypass, spec_indirect_branch, spec_l1d_flush, rseq_slice, cpuid, dispatch, tls, io_ports, core_cookie, sem_undo,
    });
    structure!(lines: "cairn_regset" = Regset { size, tid, note, reserved, addr, len });
    structure!(lines: "cairn_pending" = Pending { size, tid, shared, reserved, addr, count });
    structure!(lines: "cairn_process" = Process {
        size, pid, brk, lock_future, pkeys, dumpable, thp_disable, subreaper, stop_report, real_value, real_interval, virt_value,
        virt_interval, prof_value, prof_interval, rlim_cur, rlim_max, continue_report, membarrier, mdwe, memory_merge, ldt, xcomp_error,
        untag_error, reserved, xcomp_perm, untag_mask,
    });
    structure!(lines: "cairn_action" = Action { handler, flags, restorer, mask });
    structure!(lines: "cairn_actions" = Actions { size, pid, addr });
    structure!(lines: "cairn_timer" = Timer { size, pid, id, clock, value, interval });
    structure!(lines: "cairn_range" = Range { from, len, flags });
    structure!(lines: "cairn_save" = Save { size, pid, fd, count, ranges, saved, offset, len, sum });
    structure!(lines: "cairn_restorer" = Restorer { size, reserved });
    structure!(lines: "cairn_policy" = Policy { size, tid, flags, mode, addr, nodes });
    structure!(lines: "cairn_continue" = Continue { size, tid, sleep, clock, left, args, reserved });
    lines
}

/// The size of what a projection leads to.
fn size_of_field<S, F>(_: fn(&S) -> *const F) -> usize {
    size_of::<F>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_features_are_bits() {
        let mut about =
            Info { size: 120, abi_version: 1, features: 1 | 1 << 40, version: [b'1'; 32], source: [0; 72] };
        assert_eq!(about.features(), ["access", "0x10000000000"]);
        assert_eq!((about.version().len(), about.source()), (32, String::new()));
        assert!(about.is_spoken());
        about.abi_version = 2;
        assert!(!about.is_spoken());
    }

    #[test]
    fn the_layout_tells_every_field() {
        let lines = layout();
        assert!(lines.contains(&"struct cairn_info 120".to_owned()), "{lines:?}");
        assert!(lines.contains(&"field cairn_info.source 48 72".to_owned()), "{lines:?}");
        assert!(lines.contains(&"const CAIRN_ABI_VERSION 1".to_owned()), "{lines:?}");
    }
}
