//! 64-bit Arm: general registers, system call ABI, signal frame, the executor stub; the other
//! register sets are in [`sets`].

mod sets;

pub use sets::*;

use super::{Interrupted, RefusedState, SignalFrame};
use crate::proc::syscall::Blocked;
use crate::sys::ptrace;
use serde::{Deserialize, Serialize};
use std::arch::global_asm;

/// ELF `e_machine` of this architecture (`EM_AARCH64`).
pub const E_MACHINE: u16 = 183;

/// `svc #0`
pub const SYSCALL_INSN: &[u8] = &[0x01, 0, 0, 0xd4];

/// What may be one past the highest user address, the largest first: 52, 48, 47, 42, 39 and 36 bits
/// (Documentation/arch/arm64/memory.rst). Above 48 bits nothing is mapped unless asked for by
/// address.
pub const TASK_SIZES: &[u64] = &[1 << 52, 1 << 48, 1 << 47, 1 << 42, 1 << 39, 1 << 36];

/// One past the highest address that mmap(2) chooses by itself, `DEFAULT_MAP_WINDOW`
/// (arch/arm64/include/asm/processor.h); some kernels have fewer.
pub const MAP_WINDOW: u64 = 1 << 48;

/// `struct termios2`, which has speeds (include/uapi/asm-generic/termbits.h), with `TCGETS2` and
/// `TCSETS2`.
pub const TERMIOS: super::TermiosLayout =
    super::TermiosLayout { line: 16, characters: 17, get: 0x802c_542a, set: 0x402c_542b };

/// `O_LARGEFILE` (arch/arm64/include/uapi/asm/fcntl.h), which C libraries define as 0.
pub const O_LARGEFILE: i32 = 0o400_000;

/// Whether memory can have tags.
pub const MEMORY_TAGS: bool = true;

/// Precedes the abort handlers of restartable sequences, a `brk` with a number of its own
/// (tools/testing/selftests/rseq/rseq-arm64.h); glibc registers with it.
pub const RSEQ_SIGNATURE: u32 = 0xd428_bc00;

/// `struct user_pt_regs`, arch/arm64/include/uapi/asm/ptrace.h; the `NT_PRSTATUS` register set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Regs {
    pub regs: [u64; 31],
    pub sp: u64,
    pub pc: u64,
    pub pstate: u64,
}

/// 32-bit code (arch/arm64/include/uapi/asm/ptrace.h, `PSR_MODE32_BIT`).
const MODE32: u64 = 0x10;
/// `PSR_BTYPE_MASK` and the software step bit: of the branch or step that was under way.
const UNDER_WAY: u64 = 0xc00 | 1 << 21;
/// The link register.
const LR: usize = 30;
/// Where system calls have their number.
const NR: usize = 8;

impl Regs {
    /// The instruction pointer.
    pub fn ip(&self) -> u64 {
        self.pc
    }

    /// Sets the instruction pointer.
    pub fn set_ip(&mut self, ip: u64) {
        self.pc = ip;
        self.pstate &= !UNDER_WAY;
    }

    /// The stack pointer.
    pub fn sp(&self) -> u64 {
        self.sp
    }

    /// Makes a return lead into code at `to`, which finds a signal frame at the stack pointer
    /// `frame`.
    pub fn set_return_into(&mut self, frame: u64, to: u64) {
        self.sp = frame;
        self.regs[LR] = to;
    }

    /// The thread pointer, around which C libraries have a thread's control block; `tls` is
    /// [`TLS_SET`].
    pub fn thread_pointer(&self, tls: &[u8]) -> u64 {
        word(tls, 0)
    }

    /// Whether the thread runs code of this engine's word size; a 32-bit one has another system
    /// call ABI.
    pub fn is_native(&self) -> bool {
        self.pstate & MODE32 == 0
    }

    /// The system call that the stop interrupted, when the registers show it. They do not: before a
    /// tracer sees them, the kernel has set them up to make the call again, or has put EINTR into
    /// the result, and has forgotten the call (arch/arm64/kernel/signal.c, `do_signal`, Linux
    /// 5.10).
    pub fn interrupted_syscall(&self) -> Option<Interrupted> {
        None
    }

    /// Whether a transaction is open, which nothing but the processor can carry on: those of this
    /// architecture end at every stop.
    pub fn in_transaction(&self) -> bool {
        false
    }

    /// Whether a stop made the call that the thread was seen in return EINTR; then these are
    /// registers that make it again.
    pub fn undo_eintr(&mut self, call: &Blocked) -> bool {
        let size = SYSCALL_INSN.len() as u64;
        let same = (self.regs[NR] as i64, self.pc, self.sp) == (call.nr, call.ip, call.sp);
        let undone =
            same && self.regs[0] as i64 == -i64::from(libc::EINTR) && self.regs[1..6] == call.args[1..];
        if undone {
            self.regs[0] = call.args[0];
            self.set_ip(self.pc - size);
        }
        undone
    }

    /// Whether these may be the registers of a sleep that was interrupted and has time left: about
    /// to make a call that knows `ERESTART_RESTARTBLOCK` (kernel/time/hrtimer.c, posix-timers.c,
    /// kernel/futex), if a system call instruction comes next.
    pub fn may_hide_time_left(&self) -> bool {
        const FUTEX_CMD_MASK: u64 = 0x7f;
        match self.regs[NR] as i64 {
            libc::SYS_nanosleep | libc::SYS_restart_syscall => true,
            libc::SYS_clock_nanosleep => self.regs[1] & libc::TIMER_ABSTIME as u64 == 0,
            libc::SYS_futex => {
                let wait = [libc::FUTEX_WAIT as u64, libc::FUTEX_WAIT_BITSET as u64];
                wait.contains(&(self.regs[1] & FUTEX_CMD_MASK)) && self.regs[3] != 0
            }
            _ => false,
        }
    }

    /// These registers about to make a system call: here they are already.
    pub fn rewound(self, nr: i64) -> Self {
        self.calling(nr)
    }

    fn calling(mut self, nr: i64) -> Self {
        self.regs[NR] = nr as u64;
        self
    }

    /// These registers, which an interrupted system call has left, for the kernel to go on with:
    /// here none ever show one.
    pub fn left_to_kernel(self, _call: &Interrupted) -> Self {
        self
    }

    /// These registers, which an interrupted system call has left, with call `nr` to be made from
    /// its beginning.
    pub fn repeating(self, nr: i64) -> Self {
        self.rewound(nr)
    }

    /// These registers, which make an interrupted system call again, with restart_syscall(2) to be
    /// made instead.
    pub fn with_restart_block(self) -> Self {
        self.calling(SYS_RESTART_SYSCALL)
    }

    /// These registers, which make a system call again, behind it with a result.
    pub fn returned(mut self, result: u64) -> Self {
        self.regs[0] = result;
        self.set_ip(self.pc + SYSCALL_INSN.len() as u64);
        self
    }

    /// These registers, marked as not being in a system call: here they never are.
    pub fn outside_syscall(self) -> Self {
        self
    }

    /// Registers that make one system call with the instruction at `ip`.
    pub fn for_syscall(mut self, ip: u64, nr: i64, args: [u64; 6]) -> Self {
        self.regs[..6].copy_from_slice(&args);
        self.regs[NR] = nr as u64;
        self.set_ip(ip);
        self
    }

    /// Arguments of a system call that is under way.
    pub fn arguments(&self) -> [u64; 6] {
        self.regs[..6].try_into().expect("six registers")
    }

    /// Number of the system call, at its entry stop.
    pub fn syscall_number(&self) -> i64 {
        self.regs[NR] as i64
    }

    /// Registers that continue an interrupted call whose time left they do not show.
    pub fn with_time_left(self) -> Self {
        self.rewound(SYS_RESTART_SYSCALL)
    }

    /// Result of a system call at its exit stop.
    pub fn syscall_result(&self) -> i64 {
        self.regs[0] as i64
    }

    /// Registers that enter the executor stub at `stub`, with its control block at `control` and a
    /// stack that ends at `stack_top`.
    pub fn for_stub(mut self, stub: u64, control: u64, stack_top: u64) -> Self {
        self.set_ip(stub);
        self.regs[19] = control;
        self.sp = stack_top;
        self
    }

    /// What the control block keeps to bring these registers back without a tracer: a signal frame,
    /// aligned to 16 bytes, into which the stub puts the SIMD registers before it hands it to
    /// rt_sigreturn(2). No register would be free for a jump to the end.
    pub fn stub_way_back(&self, mask: u64) -> Vec<u8> {
        let mut block = vec![0; 8];
        block.extend(frame(self, mask, &[0; SIMD_SIZE]));
        block
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().expect("eight bytes")))
}

/// The first argument of a call that a stop interrupts is gone when the stop shows: it has to be
/// looked at before.
pub const STOPS_LOSE_ARGUMENTS: bool = true;

/// Before the first process is created: nothing to do here.
pub fn prepare_restart() {}

/// System calls that report EINTR to a stop although no handler ran, and that have done nothing
/// when they do (signal(7), last list).
pub fn repeatable_after_eintr(nr: i64) -> bool {
    matches!(
        nr,
        libc::SYS_epoll_pwait
            | libc::SYS_epoll_pwait2
            | libc::SYS_io_uring_enter
            | libc::SYS_semop
            | libc::SYS_semtimedop
            | libc::SYS_rt_sigtimedwait
            | libc::SYS_io_getevents
            // Sockets with a time limit (net/core/sock.c, `sock_intr_errno`): connect(2) is not
            // among them, which has begun something.
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_accept
            | libc::SYS_accept4
    )
}

/// Calls that the kernel continues with the time that is left (`set_restart_fn` in kernel/time,
/// kernel/futex; there is no poll(2)).
pub const WITH_TIME_LEFT: &[i64] = &[libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_futex];

/// The system call number that code, which ends before the instruction, loads last: `mov x8, #nr`,
/// or into w8.
pub fn number_loaded(code: &[u8]) -> Option<i64> {
    let words = code.rchunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().expect("four bytes")));
    let mut loads = words.filter(|word| word & 0x7fe0_001f == 0x5280_0008);
    loads.next().map(|word| i64::from(word >> 5 & 0xffff))
}

/// States that cannot be brought back, beyond those of [`REFUSED_SETS`].
pub const REFUSED_STATES: &[RefusedState] = &[];

/// There is no set_thread_area(2).
///
/// # Errors
/// None.
pub fn has_thread_areas(_tid: i32) -> std::io::Result<bool> {
    Ok(false)
}

/// Bytes below the stack pointer that are in use: none.
pub const RED_ZONE: u64 = 0;

/// Registers show which system call a stop has interrupted.
pub const SHOWS_INTERRUPTED: bool = false;

/// There were kernels on which system calls can be dispatched to the program, and no tracer is
/// told.
pub const DISPATCHES_SYSCALLS: bool = false;

/// Number of pkey_mprotect(2).
pub const SYS_PKEY_MPROTECT: i64 = libc::SYS_pkey_mprotect;
/// `shmat`
pub const SYS_SHMAT: i64 = libc::SYS_shmat;
/// Number of pkey_alloc(2).
pub const SYS_PKEY_ALLOC: i64 = libc::SYS_pkey_alloc;
/// Number of pkey_free(2).
pub const SYS_PKEY_FREE: i64 = libc::SYS_pkey_free;

/// Number of arch_prctl(2), where there is such a call.
pub const SYS_ARCH_PRCTL: Option<i64> = None;
/// Number of modify_ldt(2), where there is such a call.
pub const SYS_MODIFY_LDT: Option<i64> = None;

/// Number of restart_syscall(2).
pub const SYS_RESTART_SYSCALL: i64 = libc::SYS_restart_syscall;

/// Makes the thread, at the entry stop of a system call, not make it.
///
/// # Errors
/// What ptrace says.
pub fn skip_syscall(tid: i32) -> std::io::Result<()> {
    /// The number of the call under way, an `int`; include/uapi/linux/elf.h.
    const NT_ARM_SYSTEM_CALL: u32 = 0x404;
    ptrace::set_regset(tid, NT_ARM_SYSTEM_CALL, &(-1i32).to_ne_bytes())
}

/// `svc #0; ret`
pub const SYSCALL_AND_RETURN: &[u8] = &[0x01, 0, 0, 0xd4, 0xc0, 0x03, 0x5f, 0xd6];
/// `mov x8, #139; svc #0`, which the vdso has for signal handlers to return to.
pub const SIGRETURN_CODE: &[&[u8]] = &[&[0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4]];

/// Bytes of `struct user_fpsimd_state` that hold something: 32 registers, FPSR, FPCR.
const SIMD_SIZE: usize = 32 * 16 + 8;
/// Offsets in `struct rt_sigframe` (arch/arm64/kernel/signal.c): the context, its machine part, the
/// records that follow.
const FRAME_UCONTEXT: usize = 128;
const FRAME_MCONTEXT: usize = FRAME_UCONTEXT + 176;
const FRAME_RECORDS: usize = FRAME_MCONTEXT + 288;

/// The part of a signal frame that rt_sigreturn(2) looks at, for these registers and this mask.
fn frame(regs: &Regs, mask: u64, simd: &[u8; SIMD_SIZE]) -> Vec<u8> {
    const FPSIMD_MAGIC: u32 = 0x4650_8001;
    const FPSIMD_SIZE: u32 = 0x210;
    let mut bytes = vec![0; FRAME_UCONTEXT];
    let mut put = |words: &[u64]| words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    // Flags and link; an alternate stack with flags that do not exist: the one that is set stays.
    put(&[0, 0, 0, 0xffff_ffff, 0]);
    put(&[mask]);
    put(&[0; 16]); // room for a larger mask, and alignment
    put(&[0]); // address of a fault
    put(&regs.regs);
    put(&[regs.sp, regs.pc, regs.pstate]);
    put(&[0]); // alignment
    let (registers, status) = simd.split_at(32 * 16);
    bytes.extend([FPSIMD_MAGIC, FPSIMD_SIZE].map(u32::to_le_bytes).concat());
    bytes.extend(status);
    bytes.extend(registers);
    bytes.extend([0; 16]); // the end of the records
    bytes
}

/// The frame from which rt_sigreturn(2) restores registers and mask, below the stack in use. What
/// signal handlers may have below the stack pointer is nothing: this ABI has no red zone.
pub fn signal_frame(regs: &Regs, mask: u64, sets: &[Vec<u8>], _sigreturn: u64, top: u64) -> SignalFrame {
    /// With all the room for records, which the kernel checks to be in user space.
    const WHOLE: u64 = FRAME_RECORDS as u64 + 4096;
    let mut state = [0; SIMD_SIZE];
    let len = sets[0].len().min(SIMD_SIZE);
    state[..len].copy_from_slice(&sets[0][..len]);
    SignalFrame { at: (top - WHOLE) & !15, bytes: frame(regs, mask, &state) }
}

/// Whether a thread that leaves the stub without its tracer can still continue an interrupted sleep
/// with the time that is left: the last step is rt_sigreturn(2), which drops that.
pub const STUB_KEEPS_TIME_LEFT: bool = false;
/// Where the control block begins, in bytes from the stub's start. The frame in it is aligned to 16
/// bytes.
pub const STUB_CONTROL: u64 = 0x1_0000;

// Control block, offsets in bytes:
//   0 table   8 count   16 left   24 tgid   32 tid   40 signal   48 mask   64 signal frame
global_asm!(
    ".pushsection .rodata.cairn_stub, \"a\", @progbits",
    ".balign 16",
    ".globl cairn_stub_start",
    ".globl cairn_stub_end",
    "cairn_stub_start:",
    "    ldr x20, [x19]",
    "    ldr x21, [x19, #8]",
    "2:  cbz x21, 9f",
    "    ldr x22, [x20, #56]",
    "    ldp x0, x1, [x20, #8]",
    "    ldp x2, x3, [x20, #24]",
    "    ldp x4, x5, [x20, #40]",
    "    tbz w22, #0, 3f",
    "    ldr x0, [x0]",
    "3:  tbz w22, #1, 3f",
    "    ldr x1, [x1]",
    "3:  tbz w22, #2, 3f",
    "    ldr x2, [x2]",
    "3:  tbz w22, #3, 3f",
    "    ldr x3, [x3]",
    "3:  tbz w22, #4, 3f",
    "    ldr x4, [x4]",
    "3:  tbz w22, #5, 3f",
    "    ldr x5, [x5]",
    "3:  ldr x8, [x20]",
    "    svc #0",
    "    str x0, [x20, #64]",
    "    tbz w22, #6, 4f", // must not fail
    "    cmn x0, #4095",
    "    b.cs 9f",
    "4:  tbz w22, #7, 5f", // must be as expected
    "    ldr x1, [x20, #72]",
    "    cmp x0, x1",
    "    b.ne 9f",
    "5:  add x20, x20, #80",
    "    sub x21, x21, #1",
    "    b 2b",
    // Done: tell the tracer by a signal that does nothing to a task without one.
    "9:  str x21, [x19, #16]",
    "    ldp x0, x1, [x19, #24]",
    "    ldr x2, [x19, #40]",
    "    mov x8, #131", // tgkill
    "    svc #0",
    ".globl cairn_stub_done",
    "cairn_stub_done:",
    // Only a task whose tracer has died comes here: put everything back and go on as if nothing had
    // been. The SIMD registers are as they were all the time, and rt_sigreturn wants them in its
    // frame: the record begins 592 bytes into it.
    "    add x1, x19, #64",
    "    mov sp, x1",
    "    add x1, x1, #592",
    "    mrs x2, fpsr",
    "    str w2, [x1, #8]",
    "    mrs x2, fpcr",
    "    str w2, [x1, #12]",
    "    add x1, x1, #16",
    "    stp q0, q1, [x1]",
    "    stp q2, q3, [x1, #32]",
    "    stp q4, q5, [x1, #64]",
    "    stp q6, q7, [x1, #96]",
    "    stp q8, q9, [x1, #128]",
    "    stp q10, q11, [x1, #160]",
    "    stp q12, q13, [x1, #192]",
    "    stp q14, q15, [x1, #224]",
    "    stp q16, q17, [x1, #256]",
    "    stp q18, q19, [x1, #288]",
    "    stp q20, q21, [x1, #320]",
    "    stp q22, q23, [x1, #352]",
    "    stp q24, q25, [x1, #384]",
    "    stp q26, q27, [x1, #416]",
    "    stp q28, q29, [x1, #448]",
    "    stp q30, q31, [x1, #480]",
    "    mov x8, #139", // rt_sigreturn
    "    svc #0",
    "cairn_stub_end:",
    ".popsection",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_has_its_parts_where_the_kernel_looks() {
        let mut regs = Regs { sp: 0xffff_1238_0010, pc: 7, pstate: 8, ..Regs::default() };
        regs.regs[30] = 6;
        let mut simd = vec![3u8; 512];
        simd.extend([1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let frame = signal_frame(&regs, 5, &[simd], 9, regs.sp);
        assert_eq!(frame.at % 16, 0);
        assert!(frame.at + frame.bytes.len() as u64 <= regs.sp);
        let at = |at: usize| word(&frame.bytes, at);
        assert_eq!(at(FRAME_UCONTEXT + 40), 5);
        assert_eq!((at(FRAME_MCONTEXT + 8 + 30 * 8), at(FRAME_MCONTEXT + 8 + 32 * 8)), (6, 7));
        assert_eq!(at(FRAME_RECORDS), 0x0210_4650_8001);
        assert_eq!(at(FRAME_RECORDS + 8), 0x2_0000_0001);
        assert_eq!(at(FRAME_RECORDS + 16), 0x0303_0303_0303_0303);
        assert_eq!(frame.bytes.len(), FRAME_RECORDS + 0x210 + 16);
    }

    #[test]
    fn a_call_that_a_stop_made_fail_is_made_again() {
        let call = Blocked { nr: libc::SYS_rt_sigtimedwait, args: [1, 2, 3, 4, 5, 6], sp: 7, ip: 0x1004 };
        let mut regs = Regs { sp: 7, pc: 0x1004, ..Regs::default() };
        regs.regs[..6].copy_from_slice(&[-libc::EINTR as u64, 2, 3, 4, 5, 6]);
        regs.regs[NR] = call.nr as u64;
        let mut other = regs;
        assert!(regs.undo_eintr(&call));
        assert_eq!((regs.regs[0], regs.pc), (1, 0x1000));
        other.regs[2] = 9;
        assert!(!other.undo_eintr(&call));
    }

    #[test]
    fn code_tells_the_number() {
        // mov x8, #115; mov x3, x20
        let code = [0x68, 0x0e, 0x80, 0xd2, 0xe3, 0x03, 0x14, 0xaa];
        assert_eq!(number_loaded(&code), Some(libc::SYS_clock_nanosleep));
        assert_eq!(number_loaded(&code[4..]), None);
    }

    #[test]
    fn the_frame_in_the_control_block_is_aligned() {
        let block = Regs::default().stub_way_back(5);
        assert_eq!(word(&block, 8 + FRAME_UCONTEXT + 40), 5);
        assert_eq!((STUB_CONTROL + 7 * 8 + 8) % 16, 0);
    }
}
