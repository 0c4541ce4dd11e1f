//! Restartable sequences: finds a thread's registered area, even on kernels that do not report it.

use super::Rseq;
use crate::arch::RSEQ_SIGNATURE as SIGNATURE;
use crate::error::{Context, Error, Result};
use crate::remote::{Arg, CallId, ModuleThread, Program, ProgramOutput, Stopped, Tracee};
use crate::sys::RemoteAddr;
use crate::sys::{kmod, ptrace, vm};

/// Reads the configuration from the kernel, Linux 5.13 and later.
///
/// # Errors
/// What ptrace(2) reports.
pub fn capture(tid: i32) -> Result<Option<Rseq>> {
    let conf = ptrace::rseq_configuration(tid).context(|| format!("read rseq configuration of {tid}"))?;
    Ok((conf.pointer != 0).then_some(Rseq {
        address: conf.pointer,
        size: conf.size,
        signature: conf.signature,
        slice_extension: false,
    }))
}

/// The area of a stopped thread, on a kernel that reports it; the module does on any.
///
/// # Errors
/// What the kernel reports.
pub fn registered(thread: &Stopped) -> Result<Option<Rseq>> {
    match thread {
        Stopped::Traced(tracee) => capture(tracee.tid),
        Stopped::ModuleThread(held) => Ok(told(held)),
    }
}

fn told(held: &ModuleThread) -> Option<Rseq> {
    let kmod::Thread { rseq: address, rseq_len: size, rseq_signature: signature, .. } = held.told;
    (address != 0).then_some(Rseq { address, size, signature, slice_extension: false })
}

/// Whether this kernel supports `PTRACE_GET_RSEQ_CONFIGURATION`; `tid` is a stopped tracee.
pub fn kernel_tells(tid: i32) -> bool {
    ptrace::rseq_configuration(tid).is_ok()
}

/// Whether a thread may request a time slice extension, Linux 7.0 (include/uapi/linux/prctl.h).
pub const PR_RSEQ_SLICE_EXTENSION: i32 = 79;
/// Returns `PR_RSEQ_SLICE_EXT_ENABLE`, 1, or 0.
pub const SLICE_EXTENSION_GET: u64 = 1;
const SLICE_EXTENSION_SET: u64 = 2;

/// The only length before Linux 6.3.
const SIZE: u32 = 32;
const UNREGISTER: u64 = 1;
/// Bytes to search on either side of the thread pointer, for areas in thread control blocks.
const REACH: u64 = 4096;

/// A kernel address, aligned: EFAULT if the thread has no area registered, EINVAL if it has.
const NOWHERE: u64 = 0xffff_ffff_ffff_f000;

/// Where the kernel does not report the address, it is found by probing without side effects
/// (kernel/rseq.c, Linux 5.10): unregistering with a wrong signature fails with EPERM at the
/// registered address and EINVAL anywhere else; registering again fails with EBUSY.
pub struct AskRseq {
    registered: CallId,
    candidates: Vec<(u64, CallId)>,
}

fn call(program: &mut Program, address: u64, flags: u64, signature: u32) -> CallId {
    let args: [Arg; 4] = [address.into(), SIZE.into(), flags.into(), signature.into()];
    program.call_unchecked(libc::SYS_rseq, &args, "probe rseq")
}

/// Possible addresses of the area: none for a thread without a thread pointer.
fn candidates(thread_pointer: u64) -> impl Iterator<Item = u64> {
    let near = thread_pointer & !(u64::from(SIZE) - 1);
    (near.saturating_sub(REACH)..near + REACH).step_by(SIZE as usize).filter(move |_| near != 0)
}

impl AskRseq {
    /// Adds the calls.
    pub fn ask(program: &mut Program, thread_pointer: u64) -> Self {
        let registered = call(program, NOWHERE, 0, SIGNATURE);
        let candidates =
            candidates(thread_pointer).map(|a| (a, call(program, a, UNREGISTER, !SIGNATURE))).collect();
        AskRseq { registered, candidates }
    }

    /// The area, if registered.
    ///
    /// # Errors
    /// *unsupported*: registered, but not near the thread pointer.
    pub fn answer(&self, outcome: &ProgramOutput, tid: i32) -> Result<Option<Rseq>> {
        if outcome.result(self.registered) == -i64::from(libc::EFAULT) {
            return Ok(None);
        }
        let here = |call: &CallId| outcome.result(*call) == -i64::from(libc::EPERM);
        match self.candidates.iter().find(|(_, call)| here(call)) {
            Some((address, _)) => {
                Ok(Some(Rseq { address: *address, size: SIZE, signature: SIGNATURE, slice_extension: false }))
            }
            None => Err(Error::unsupported(format!(
                "thread {tid}: has an rseq area that is not at its thread pointer, and this kernel (before 5.13) does not report its address"
            ))),
        }
    }
}

/// A stop inside a critical section aborts it: the thread is moved to its abort handler, as the
/// kernel would do (kernel/rseq.c, `rseq_ip_fixup`), because our programs make the kernel lose the
/// section. Must be called before the first of them. `unknown`: this kernel does not report the
/// area.
///
/// A thread held by the module runs no program, and the kernel aborts the section itself when it
/// resumes: only the registers for the record are changed.
///
/// # Errors
/// Memory that cannot be accessed.
pub fn abort_critical_section(thread: &mut Stopped, unknown: bool) -> Result<()> {
    let tracee = match thread {
        Stopped::Traced(tracee) => tracee,
        Stopped::ModuleThread(held) => {
            let (pid, ip) = (held.pid, held.regs.ip());
            if let Some(abort) = told(held).and_then(|r| abort_handler(pid, ip, r.address, r.signature)) {
                held.regs.set_ip(abort);
            }
            return Ok(());
        }
    };
    if unknown {
        // Try every possible area; an active section is recognised by its descriptor.
        for address in candidates(tracee.thread_pointer()?) {
            if leave_section(tracee, address, SIGNATURE)? {
                break;
            }
        }
        return Ok(());
    }
    match capture(tracee.tid)? {
        Some(rseq) => leave_section(tracee, rseq.address, rseq.signature).map(drop),
        None => Ok(()),
    }
}

/// Where an area points to the current section: after cpu_id_start and cpu_id of `struct rseq`
/// (include/uapi/linux/rseq.h).
fn section_pointer(address: u64) -> RemoteAddr {
    RemoteAddr(address.wrapping_add(8))
}

/// The abort handler of the section that a thread of `pid` at `ip`, with an area at `address`, is
/// in; `None` outside.
fn abort_handler(pid: i32, ip: u64, address: u64, signature: u32) -> Option<u64> {
    let mut word = [0u8; 8];
    // Unreadable memory is no area, descriptor or handler.
    let read = |at: u64, buf: &mut [u8]| at != 0 && vm::read(pid, RemoteAddr(at), buf).is_ok();
    if !read(section_pointer(address).0, &mut word) {
        return None;
    }
    // struct rseq_cs: version, flags, start_ip, post_commit_offset, abort_ip.
    let mut cs = [0u8; 32];
    if !read(u64::from_ne_bytes(word), &mut cs) {
        return None;
    }
    let field = |at: usize| u64::from_ne_bytes(cs[at..at + 8].try_into().expect("eight bytes"));
    let (version, start, length, abort) = (field(0) as u32, field(8), field(16), field(24));
    let mut mark = [0u8; 4];
    let inside = version == 0 && ip.wrapping_sub(start) < length;
    (inside && read(abort.wrapping_sub(4), &mut mark) && u32::from_ne_bytes(mark) == signature)
        .then_some(abort)
}

/// Moves a thread inside a section of the area at `address` to the abort handler; false if it is
/// not in one.
fn leave_section(tracee: &mut Tracee, address: u64, signature: u32) -> Result<bool> {
    let Some(abort) = abort_handler(tracee.pid, tracee.regs.ip(), address, signature) else {
        return Ok(false);
    };
    tracee.regs.set_ip(abort);
    tracee.mark_disturbed();
    tracee.write_back()?;
    vm::write(tracee.pid, section_pointer(address), &[0; 8])
        .context(|| format!("clear rseq section of {}", tracee.tid))?;
    Ok(true)
}

impl Rseq {
    /// Unregisters the area.
    pub fn unregister(&self, program: &mut Program) {
        let args = [self.address.into(), self.size.into(), UNREGISTER.into(), self.signature.into()];
        program.call_ok(libc::SYS_rseq, &args, "unregister rseq");
    }

    /// Registers the area; the last thing a thread does before it resumes.
    pub fn rebuild(&self, program: &mut Program) {
        let args = [self.address.into(), self.size.into(), Arg::Imm(0), self.signature.into()];
        program.call_ok(libc::SYS_rseq, &args, "register rseq");
        if self.slice_extension {
            let (option, set) = (PR_RSEQ_SLICE_EXTENSION.into(), Arg::Imm(SLICE_EXTENSION_SET));
            let args = [option, set, Arg::Imm(1), Arg::Imm(0), Arg::Imm(0)];
            program.call_ok(libc::SYS_prctl, &args, "allow time slice extension");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_slice_may_be_asked_for_again_once_the_area_is_registered() {
        let calls = |slice_extension| {
            let mut program = Program::new();
            Rseq { address: 0x1000, size: 64, signature: 7, slice_extension }.rebuild(&mut program);
            program.calls().iter().map(|call| call.nr).collect::<Vec<_>>()
        };
        assert_eq!(calls(false), [libc::SYS_rseq]);
        assert_eq!(calls(true), [libc::SYS_rseq, libc::SYS_prctl]);
    }
}
