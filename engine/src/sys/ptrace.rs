//! ptrace(2), the requests of `PTRACE_SEIZE`d tracees.
//!
//! Every request must come from the thread that seized the tracee.

use super::cvt;
use crate::arch::{self, EXTENDED_MAX, Regs};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::ptr;
use std::sync::OnceLock;

/// A thread id in our PID namespace.
pub type Tid = i32;

/// Options of `PTRACE_SEIZE`: see ptrace(2), `PTRACE_SETOPTIONS`.
pub const SYSGOOD: i32 = libc::PTRACE_O_TRACESYSGOOD;
/// Kill the tracee when the tracer exits: for tasks that a restart has not yet released.
pub const EXITKILL: i32 = libc::PTRACE_O_EXITKILL;

/// Stop the tracee when it begins to exit.
pub const TRACEEXIT: i32 = libc::PTRACE_O_TRACEEXIT;
/// The tracee's system calls pass no seccomp filters (Linux 4.3; takes CAP_SYS_ADMIN).
pub const SUSPEND_SECCOMP: i32 = libc::PTRACE_O_SUSPEND_SECCOMP;

/// The siginfo of the ABI: `SI_MAX_SIZE` bytes, include/uapi/asm-generic/siginfo.h.
pub const SIGINFO_SIZE: usize = 128;

fn request(req: libc::c_uint, tid: Tid, addr: usize, data: usize) -> io::Result<libc::c_long> {
    // SAFETY: callers pass addresses of live buffers of the size that the request wants, or plain
    // numbers.
    cvt(unsafe { libc::ptrace(req, tid, addr, data) })
}

/// Attaches without stopping. EPERM: already traced, a kernel thread, a zombie, or not permitted.
pub fn seize(tid: Tid, options: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, options as usize).map(drop)
}

/// Asks for a `PTRACE_EVENT_STOP`.
pub fn interrupt(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0).map(drop)
}

/// Lets the tracee run, delivering `signal` when it is not 0.
pub fn cont(tid: Tid, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_CONT, tid, 0, signal as usize).map(drop)
}

/// Leaves a tracee in its group stop, until SIGCONT.
pub fn listen(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, tid, 0, 0).map(drop)
}

/// Lets the tracee run to the next entry or exit of a system call.
pub fn cont_to_syscall(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, 0, 0).map(drop)
}

/// Stops tracing; a group stop in force takes effect again (kernel/ptrace.c,
/// `__ptrace_unlink`).
pub fn detach(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_DETACH, tid, 0, 0).map(drop)
}

/// Replaces the options given at [`seize`].
pub fn set_options(tid: Tid, options: i32) -> io::Result<()> {
    request(libc::PTRACE_SETOPTIONS, tid, 0, options as usize).map(drop)
}

/// The seccomp filter of this number, the oldest being 0, as an array of `struct sock_filter`;
/// `None` if it has no more (`PTRACE_SECCOMP_GET_FILTER`, Linux 4.4).
pub fn seccomp_filter(tid: Tid, nth: usize) -> io::Result<Option<Vec<u8>>> {
    const GET_FILTER: libc::c_uint = 0x420c;
    match request(GET_FILTER, tid, nth, 0) {
        Ok(count) => {
            let mut program = vec![0u8; count as usize * size_of::<libc::sock_filter>()];
            request(GET_FILTER, tid, nth, program.as_mut_ptr() as usize)?;
            Ok(Some(program))
        }
        Err(err) if err.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Whether that filter has `SECCOMP_FILTER_FLAG_LOG` (`PTRACE_SECCOMP_GET_METADATA`, Linux 4.16).
pub fn seccomp_logs(tid: Tid, nth: usize) -> io::Result<bool> {
    const GET_METADATA: libc::c_uint = 0x420d;
    let mut metadata = [nth as u64, 0];
    request(GET_METADATA, tid, size_of_val(&metadata), metadata.as_mut_ptr() as usize)?;
    Ok(metadata[1] & libc::SECCOMP_FILTER_FLAG_LOG != 0)
}

/// Reads a register set into `buf`; returns the bytes filled. `note` is an ELF note type
/// (`NT_PRSTATUS` …).
pub fn get_regset(tid: Tid, note: u32, buf: &mut [u8]) -> io::Result<usize> {
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    request(libc::PTRACE_GETREGSET, tid, note as usize, ptr::from_mut(&mut iov) as usize)?;
    Ok(iov.iov_len)
}

/// A register set by its ELF note type; `None` if the machine or the kernel does not have it.
pub fn register_set(tid: Tid, note: u32) -> io::Result<Option<Vec<u8>>> {
    set_if_there(|data| get_regset(tid, note, data))
}

/// The register set that `read` fills; `None` if it reports that there is none.
pub fn set_if_there(read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Option<Vec<u8>>> {
    let mut data = vec![0u8; EXTENDED_MAX];
    match read(&mut data) {
        Ok(len) => {
            data.truncate(len);
            Ok(Some(data))
        }
        // kernel/ptrace.c, `ptrace_regset`: no such set; the sets themselves: not on this machine.
        Err(err)
            if matches!(
                err.raw_os_error(),
                Some(libc::EINVAL | libc::ENODEV | libc::ENODATA | libc::ENXIO)
            ) =>
        {
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

/// Writes a register set.
pub fn set_regset(tid: Tid, note: u32, buf: &[u8]) -> io::Result<()> {
    let mut iov = libc::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() };
    let written = request(libc::PTRACE_SETREGSET, tid, note as usize, ptr::from_mut(&mut iov) as usize);
    arch::vectors_are_lost();
    written?;
    if iov.iov_len == buf.len() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "register set {note:#x}: {} of {} bytes accepted",
            iov.iov_len,
            buf.len()
        )))
    }
}

/// The general registers.
pub fn get_regs(tid: Tid) -> io::Result<Regs> {
    let mut buf = [0u8; size_of::<Regs>()];
    let n = get_regset(tid, libc::NT_PRSTATUS as u32, &mut buf)?;
    regs_of(&buf[..n])
}

/// The general registers, from the register set `NT_PRSTATUS`.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] when it has another size: that of a thread that runs 32-bit code
/// has (`task_user_regset_view`).
pub fn regs_of(set: &[u8]) -> io::Result<Regs> {
    let (n, want) = (set.len(), size_of::<Regs>());
    if n != want {
        let what = format!("general registers: {n} bytes, want {want}");
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    // SAFETY: `Regs` is a `repr(C)` struct of u64s, for which any bit pattern is valid; there are
    // enough bytes, and alignment does not matter to this read.
    Ok(unsafe { set.as_ptr().cast::<Regs>().read_unaligned() })
}

/// Sets the general registers.
pub fn set_regs(tid: Tid, regs: &Regs) -> io::Result<()> {
    // SAFETY: `Regs` is `repr(C)`, all u64, without padding.
    let buf = unsafe { std::slice::from_raw_parts(ptr::from_ref(regs).cast::<u8>(), size_of::<Regs>()) };
    set_regset(tid, libc::NT_PRSTATUS as u32, buf)
}

/// The blocked-signal mask, bit n-1 for signal n; the one that will be in force after an
/// interrupted `sigsuspend` and its kind.
pub fn get_sigmask(tid: Tid) -> io::Result<u64> {
    let mut mask = 0u64;
    request(libc::PTRACE_GETSIGMASK, tid, size_of::<u64>(), ptr::from_mut(&mut mask) as usize)?;
    Ok(mask)
}

/// Sets the blocked-signal mask. SIGKILL and SIGSTOP are left out by the kernel.
pub fn set_sigmask(tid: Tid, mask: u64) -> io::Result<()> {
    request(libc::PTRACE_SETSIGMASK, tid, size_of::<u64>(), ptr::from_ref(&mask) as usize).map(drop)
}

/// `PTRACE_PEEKSIGINFO`, include/uapi/linux/ptrace.h.
const PEEKSIGINFO: libc::c_uint = 0x4209;
const PEEKSIGINFO_SHARED: u32 = 1;

#[repr(C)]
struct PeekSiginfoArgs {
    off: u64,
    flags: u32,
    nr: i32,
}

/// The queued signals of the thread (`shared` false) or of the whole process, in queue order;
/// nothing is dequeued.
pub fn peek_siginfo(tid: Tid, shared: bool) -> io::Result<Vec<[u8; SIGINFO_SIZE]>> {
    const BATCH: usize = 32;
    let mut all = Vec::new();
    loop {
        let mut batch = [[0u8; SIGINFO_SIZE]; BATCH];
        let args = PeekSiginfoArgs {
            off: all.len() as u64,
            flags: if shared { PEEKSIGINFO_SHARED } else { 0 },
            nr: BATCH as i32,
        };
        let n =
            request(PEEKSIGINFO, tid, ptr::from_ref(&args) as usize, batch.as_mut_ptr() as usize)? as usize;
        all.extend_from_slice(&batch[..n]);
        if n < BATCH {
            return Ok(all);
        }
    }
}

// arch/arm64/include/uapi/asm/ptrace.h, Linux 5.10
const PEEKMTETAGS: libc::c_uint = 33;
const POKEMTETAGS: libc::c_uint = 34;

/// Reads memory tags from `addr` on, a byte for each 16 bytes of memory (arm64). Returns how many
/// it read: up to the end of a page at least.
pub fn peek_tags(tid: Tid, addr: u64, tags: &mut [u8]) -> io::Result<usize> {
    let mut iov = libc::iovec { iov_base: tags.as_mut_ptr().cast(), iov_len: tags.len() };
    request(PEEKMTETAGS, tid, addr as usize, ptr::from_mut(&mut iov) as usize)?;
    Ok(iov.iov_len)
}

/// Writes memory tags from `addr` on; returns how many it wrote.
pub fn poke_tags(tid: Tid, addr: u64, tags: &[u8]) -> io::Result<usize> {
    let mut iov = libc::iovec { iov_base: tags.as_ptr().cast_mut().cast(), iov_len: tags.len() };
    request(POKEMTETAGS, tid, addr as usize, ptr::from_mut(&mut iov) as usize)?;
    Ok(iov.iov_len)
}

/// Where a thread has registered its restartable sequence area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct RseqConfiguration {
    /// Address of `struct rseq`; 0 when nothing is registered.
    pub pointer: u64,
    /// Its length in bytes.
    pub size: u32,
    /// The four bytes that precede every abort handler.
    pub signature: u32,
    /// Registration flags, 0 so far.
    pub flags: u32,
    pad: u32,
}

/// `PTRACE_GET_RSEQ_CONFIGURATION`, since Linux 5.13 (include/uapi/linux/ptrace.h); EIO where the
/// kernel does not have it.
pub fn rseq_configuration(tid: Tid) -> io::Result<RseqConfiguration> {
    const GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;
    let mut conf = MaybeUninit::<RseqConfiguration>::zeroed();
    request(GET_RSEQ_CONFIGURATION, tid, size_of::<RseqConfiguration>(), conf.as_mut_ptr() as usize)?;
    // SAFETY: zeroed and then filled by the kernel; plain integers.
    Ok(unsafe { conf.assume_init() })
}

/// Whether the signal that a thread is stopped with comes from syscall user dispatch.
pub fn is_dispatched_call(tid: Tid) -> bool {
    /// include/uapi/asm-generic/siginfo.h
    const SYS_USER_DISPATCH: i32 = 2;
    let mut info = [0i32; SIGINFO_SIZE / 4];
    let got = request(libc::PTRACE_GETSIGINFO, tid, 0, info.as_mut_ptr() as usize);
    got.is_ok() && info[2] == SYS_USER_DISPATCH
}

/// Whether a thread uses syscall user dispatch, Linux 5.11
/// (Documentation/admin-guide/syscall-user-dispatch.rst). Visible to a tracer since 6.4, not at all
/// before.
pub fn dispatches_syscalls(tid: Tid) -> io::Result<bool> {
    match dispatch_mode(tid) {
        Ok(mode) => Ok(mode != 0),
        Err(err) if matches!(err.raw_os_error(), Some(libc::EIO | libc::EINVAL)) => Ok(false),
        Err(err) => Err(err),
    }
}

/// Whether this kernel reports that. `tid`: any tracee.
pub fn tells_dispatch(tid: Tid) -> bool {
    static TELLS: OnceLock<()> = OnceLock::new();
    TELLS.get().is_some() || dispatch_mode(tid).map(|_| TELLS.get_or_init(|| ())).is_ok()
}

fn dispatch_mode(tid: Tid) -> io::Result<u64> {
    /// `PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG`, include/uapi/linux/ptrace.h.
    const GET: libc::c_uint = 0x4211;
    // `struct ptrace_sud_config`: mode, selector, offset, length.
    let mut config = [0u64; 4];
    request(GET, tid, size_of_val(&config), ptr::from_mut(&mut config) as usize)?;
    Ok(config[0])
}

/// x86: a `struct user_desc` of set_thread_area(2): entry, base, limit, flags; `None` if the
/// kernel does not have them.
pub fn thread_area(tid: Tid, entry: usize) -> io::Result<Option<[u32; 4]>> {
    /// arch/x86/include/uapi/asm/ptrace-abi.h
    const GET_THREAD_AREA: libc::c_uint = 25;
    let mut area = [0u32; 4];
    match request(GET_THREAD_AREA, tid, entry, ptr::from_mut(&mut area) as usize) {
        Ok(_) => Ok(Some(area)),
        Err(err) if matches!(err.raw_os_error(), Some(libc::EIO | libc::EINVAL)) => Ok(None),
        Err(err) => Err(err),
    }
}
