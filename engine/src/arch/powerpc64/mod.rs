//! 64-bit POWER, little-endian: general registers, the FP, VMX and VSX sets, special registers,
//! system call ABI, the executor stub.

mod regs;

pub use regs::Regs;

use super::{RefusedState, SignalFrame};
use crate::sys::ptrace;
use regs::{MSR_FE, MSR_FP, MSR_TM, MSR_VEC, MSR_VSX};
use std::arch::global_asm;

/// ELF `e_machine` of this architecture (`EM_PPC64`).
pub const E_MACHINE: u16 = 21;

/// `sc`
pub const SYSCALL_INSN: &[u8] = &[0x02, 0, 0, 0x44];

/// What may be one past the highest user address, the largest first: with 64 KiB pages, with 4 KiB
/// pages (arch/powerpc/include/asm/task_size_64.h). Above 128 TiB nothing is mapped unless asked
/// for by address.
pub const TASK_SIZES: &[u64] = &[1 << 52, 1 << 49, 1 << 47, 1 << 46];

/// One past the highest address that mmap(2) chooses by itself, `DEFAULT_MAP_WINDOW`
/// (arch/powerpc/include/asm/task_size_64.h); some kernels have fewer.
pub const MAP_WINDOW: u64 = 1 << 47;

/// `struct termios`, which has speeds (arch/powerpc/include/uapi/asm/termbits.h), with `TCGETS` and
/// `TCSETS`.
pub const TERMIOS: super::TermiosLayout =
    super::TermiosLayout { line: 35, characters: 16, get: 0x402c_7413, set: 0x802c_7414 };

/// `O_LARGEFILE` (arch/powerpc/include/uapi/asm/fcntl.h), which C libraries define as 0.
pub const O_LARGEFILE: i32 = 0o200_000;

/// Whether memory can have tags.
pub const MEMORY_TAGS: bool = false;

/// Precedes the abort handlers of restartable sequences, a trap that is never taken
/// (tools/testing/selftests/rseq/rseq-ppc.h); glibc registers with it.
pub const RSEQ_SIGNATURE: u32 = 0x0fe5_000b;

/// The arguments of a call that a stop interrupts are there when the stop shows.
pub const STOPS_LOSE_ARGUMENTS: bool = false;

/// Before the first process is created: a thread that has never written to the data stream control
/// register itself gets the system's value instead of the one that ptrace sets (`dscr_inherit` in
/// arch/powerpc/kernel/process.c, `restore_sprs`). Children inherit that it was written.
pub fn prepare_restart() {
    /// `PPC_FEATURE2_DSCR`, arch/powerpc/include/uapi/asm/cputable.h
    const HAS_DSCR: u64 = 0x2000_0000;
    // SAFETY: the register only directs prefetching, and gets the value that it has.
    unsafe {
        if libc::getauxval(libc::AT_HWCAP2) & HAS_DSCR != 0 {
            std::arch::asm!("mfspr {value}, 3", "mtspr 3, {value}", value = out(reg) _);
        }
    }
}

/// System calls that report EINTR to a stop although no handler ran, and that have done nothing
/// when they do (signal(7), last list).
pub fn repeatable_after_eintr(nr: i64) -> bool {
    /// arch/powerpc/kernel/syscalls/syscall.tbl; there is no semop(2).
    const SYS_SEMTIMEDOP: i64 = 392;
    matches!(
        nr,
        libc::SYS_epoll_wait
            | libc::SYS_epoll_pwait
            | libc::SYS_epoll_pwait2
            | libc::SYS_io_uring_enter
            | SYS_SEMTIMEDOP
            // Of the calls behind ipc(2) only semop and semtimedop end so: the others have an error
            // that makes them again (ipc/msg.c).
            | libc::SYS_ipc
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

/// Calls that the kernel continues with the time that is left and that can be made again
/// afterwards: none, because their first argument is gone by then (arch/powerpc/kernel/signal.c,
/// `check_syscall_restart`, puts only the number of restart_syscall(2) in place).
pub const WITH_TIME_LEFT: &[i64] = &[];

/// The system call number that code, which ends before the instruction, loads last: `li r0, nr`.
pub fn number_loaded(code: &[u8]) -> Option<i64> {
    let words = code.rchunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().expect("four bytes")));
    let mut loads = words.filter(|word| word & 0xffff_0000 == 0x3800_0000);
    loads.next().map(|word| i64::from(word & 0xffff))
}

// arch/powerpc/kernel/syscalls/syscall.tbl
/// States that cannot be brought back, beyond those of [`REFUSED_SETS`].
pub const REFUSED_STATES: &[RefusedState] = &[];

/// There is no set_thread_area(2).
///
/// # Errors
/// None.
pub fn has_thread_areas(_tid: i32) -> std::io::Result<bool> {
    Ok(false)
}

/// Bytes below the stack pointer that are in use (arch/powerpc/include/asm/ptrace.h,
/// `USER_REDZONE_SIZE`).
pub const RED_ZONE: u64 = 512;

/// Registers show which system call a stop has interrupted.
pub const SHOWS_INTERRUPTED: bool = true;

/// There were kernels on which system calls can be dispatched to the program, and no tracer is
/// told.
pub const DISPATCHES_SYSCALLS: bool = false;

/// Number of pkey_mprotect(2).
pub const SYS_PKEY_MPROTECT: i64 = 386;
/// `shmat`, Linux 5.1 (arch/powerpc/kernel/syscalls/syscall.tbl); not known to `libc`.
pub const SYS_SHMAT: i64 = 397;
/// Number of pkey_alloc(2).
pub const SYS_PKEY_ALLOC: i64 = 384;
/// Number of pkey_free(2).
pub const SYS_PKEY_FREE: i64 = 385;

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
    let mut regs = ptrace::get_regs(tid)?;
    regs.gpr[0] = u64::MAX;
    ptrace::set_regs(tid, &regs)
}

// include/uapi/linux/elf.h
const NT_PRFPREG: u32 = 2;
const NT_PPC_VMX: u32 = 0x100;
const NT_PPC_VSX: u32 = 0x102;
const NT_PPC_TAR: u32 = 0x103;
const NT_PPC_PPR: u32 = 0x104;
const NT_PPC_DSCR: u32 = 0x105;
const NT_PPC_EBB: u32 = 0x106;
const NT_PPC_PKEY: u32 = 0x110;
const NT_PPC_HASHKEYR: u32 = 0x112;

/// Note types of the extended register sets, in the order they are written back. A kernel or
/// machine need not have all. VSX has the halves of its first 32 registers that are not the FP
/// registers; the other 32 are those of VMX.
pub const EXTENDED_SETS: &[u32] =
    &[NT_PRFPREG, NT_PPC_VMX, NT_PPC_VSX, NT_PPC_TAR, NT_PPC_PPR, NT_PPC_DSCR, NT_PPC_PKEY, NT_PPC_HASHKEYR];
/// Sets that only a thread has that cannot be saved. The registers of event-based branches are
/// there once a performance counter has led to one, and are taken from nobody else
/// (arch/powerpc/kernel/ptrace/ptrace-view.c, `ebb_get`, `ebb_set`; `used_ebb`).
pub const REFUSED_SETS: &[(u32, &str)] = &[(NT_PPC_EBB, "uses event-based branches")];
/// Sets that are part of others as long as these are live.
pub const PART_OF: &[(u32, &[u32])] = &[];
/// Those of [`EXTENDED_SETS`] that system calls change.
pub const LOST_IN_SYSCALLS: &[u32] = &[];
/// Those that a signal frame holds.
pub const SIGNAL_FRAME_SETS: &[u32] = &[NT_PRFPREG, NT_PPC_VMX, NT_PPC_VSX];
/// The one with the thread pointer, where that is no general register.
pub const TLS_SET: Option<u32> = None;
/// No set is larger.
pub const EXTENDED_MAX: usize = 4096;

/// Whether a set that system calls change holds something to lose.
pub fn is_live(_note: u32, _data: &[u8]) -> bool {
    true
}

/// A set as it is kept in a record.
pub fn canonical(note: u32, mut data: Vec<u8>) -> Option<Vec<u8>> {
    if note == NT_PPC_VMX {
        // VSCR and VRSAVE are the first words of 16 bytes each, of which the rest is whatever was
        // there.
        data[516..528].fill(0);
        data[532..].fill(0);
    }
    Some(data)
}

/// Checks that a saved extended set fits this machine, of which `here` is a sample.
///
/// # Errors
/// A text that names what is missing.
pub fn extended_fits(_note: u32, saved: &[u8], here: &[u8]) -> Result<(), String> {
    if saved.len() == here.len() {
        Ok(())
    } else {
        Err(format!("{} bytes, but {} on this machine", saved.len(), here.len()))
    }
}

/// To be called after a register set was written.
pub fn vectors_are_lost() {}

/// Where two register sets differ in what user code can see.
pub fn extended_difference(note: u32, want: &[u8], have: &[u8]) -> Option<usize> {
    let have = canonical(note, have.to_vec()).unwrap_or_default();
    (0..want.len().max(have.len())).find(|at| want.get(*at) != have.get(*at))
}

/// `sc; blr`
pub const SYSCALL_AND_RETURN: &[u8] = &[0x02, 0, 0, 0x44, 0x20, 0, 0x80, 0x4e];
/// `li r0, 172; sc`, which the vdso has for signal handlers to return to.
pub const SIGRETURN_CODE: &[&[u8]] = &[&[0xac, 0, 0, 0x38, 0x02, 0, 0, 0x44]];

/// Offsets in `struct rt_sigframe` (arch/powerpc/kernel/signal_64.c), which begins with the `struct
/// ucontext`: its machine part (`struct sigcontext`), in that the general, FP and vector registers.
const FRAME_MCONTEXT: usize = 168;
const FRAME_GPR: usize = FRAME_MCONTEXT + 64;
const FRAME_FPR: usize = FRAME_GPR + 384;
/// 34 registers of VMX, then the halves of VSX; anywhere that is aligned, and the room of the frame
/// is.
const FRAME_VECTORS: usize = 896;
const FRAME_SIZE: usize = FRAME_VECTORS + 34 * 16 + 32 * 8;
/// Address that stands for the frame in a control block: the stub puts the right one into the
/// frame.
const FRAME_IN_CONTROL: u64 = 0;

/// The part of a signal frame at `at` that rt_sigreturn(2) looks at, for these registers and this
/// mask; FP and vector registers are zero.
fn frame(regs: &Regs, mask: u64, at: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME_SIZE);
    let mut put = |words: &[u64]| words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    // Flags and link; an alternate stack with flags that do not exist: the one that is set stays.
    put(&[0, 0, 0, 0xffff_ffff, 0]);
    put(&[mask]);
    put(&[0; 15]); // room for a larger mask
    put(&[0; 8]); // what the kernel tells handlers
    put(&regs.gpr);
    let msr = regs.msr & !(MSR_TM | MSR_FE) | MSR_FP | MSR_VEC | MSR_VSX;
    put(&[regs.nip, msr, regs.orig_gpr3, regs.ctr, regs.link, regs.xer, regs.ccr, 1, 0, 0, 0, 0]);
    put(&regs.reserved);
    put(&[0; 33]); // FP registers
    put(&[at + FRAME_VECTORS as u64]);
    bytes.resize(FRAME_SIZE, 0);
    bytes
}

/// The frame from which rt_sigreturn(2) restores registers and mask, below the red zone of the
/// stack in use (arch/powerpc/include/asm/ptrace.h, `USER_REDZONE_SIZE`).
pub fn signal_frame(regs: &Regs, mask: u64, sets: &[Vec<u8>], _sigreturn: u64, top: u64) -> SignalFrame {
    /// `struct rt_sigframe`, which the kernel checks to be in user space, is not larger.
    const WHOLE: u64 = 8192;
    let at = (top - WHOLE) & !15;
    let mut bytes = frame(regs, mask, at);
    let mut put = |at: usize, set: &[u8]| bytes[at..at + set.len()].copy_from_slice(set);
    put(FRAME_FPR, &sets[0]);
    put(FRAME_VECTORS, &sets[1]);
    put(FRAME_VECTORS + 34 * 16, &sets[2]);
    SignalFrame { at, bytes }
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
    "    ld 30, 0(31)",
    "    ld 29, 8(31)",
    "2:  cmpdi 29, 0",
    "    beq 9f",
    "    ld 28, 56(30)",
    "    ld 3, 8(30)",
    "    andi. 9, 28, 1",
    "    beq 3f",
    "    ld 3, 0(3)",
    "3:  ld 4, 16(30)",
    "    andi. 9, 28, 2",
    "    beq 3f",
    "    ld 4, 0(4)",
    "3:  ld 5, 24(30)",
    "    andi. 9, 28, 4",
    "    beq 3f",
    "    ld 5, 0(5)",
    "3:  ld 6, 32(30)",
    "    andi. 9, 28, 8",
    "    beq 3f",
    "    ld 6, 0(6)",
    "3:  ld 7, 40(30)",
    "    andi. 9, 28, 16",
    "    beq 3f",
    "    ld 7, 0(7)",
    "3:  ld 8, 48(30)",
    "    andi. 9, 28, 32",
    "    beq 3f",
    "    ld 8, 0(8)",
    "3:  ld 0, 0(30)",
    "    sc",
    "    bns 4f",
    "    neg 3, 3",
    "4:  std 3, 64(30)",
    "    andi. 9, 28, 64", // must not fail
    "    beq 4f",
    "    li 9, -4095",
    "    cmpld 3, 9",
    "    bge 9f",
    "4:  andi. 9, 28, 128", // must be as expected
    "    beq 5f",
    "    ld 9, 72(30)",
    "    cmpd 3, 9",
    "    bne 9f",
    "5:  addi 30, 30, 80",
    "    addi 29, 29, -1",
    "    b 2b",
    // Done: tell the tracer by a signal that does nothing to a task without one.
    "9:  std 29, 16(31)",
    "    ld 3, 24(31)",
    "    ld 4, 32(31)",
    "    ld 5, 40(31)",
    "    li 0, 250", // tgkill
    "    sc",
    ".globl cairn_stub_done",
    "cairn_stub_done:",
    // Only a task whose tracer has died comes here: put everything back and go on as if nothing had
    // been. The FP and vector registers are as they were all the time, and rt_sigreturn wants them
    // in its frame: FP at 616, the address of the others at 880, the others at 896.
    "    addi 1, 31, 64",
    "    addi 3, 1, 896",
    "    std 3, 880(1)",
    "    addi 4, 1, 616",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "    stfd \\n, 8*\\n(4)",
    ".endr",
    "    mffs 0",
    "    stfd 0, 256(4)",
    "    lfd 0, 0(4)",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "    li 5, 16*\\n",
    "    stvx \\n, 5, 3",
    ".endr",
    "    li 5, 512",
    "    mfvscr 0",
    "    stvx 0, 5, 3",
    "    mfspr 5, 256", // VRSAVE
    "    stw 5, 528(3)",
    // The lower halves of the first 32 of VSX, through a register that has been put away.
    "    addi 4, 3, 544",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "    xxpermdi 32, \\n, \\n, 2",
    "    li 5, 8*\\n",
    "    stxsdx 32, 5, 4",
    ".endr",
    "    li 0, 172", // rt_sigreturn
    "    sc",
    "cairn_stub_end:",
    ".popsection",
);

/// Errors of the registers, for [`crate::fault`].
#[cfg(feature = "planted-faults")]
pub const FAULTS: &[super::RegisterFault] = &[
    super::RegisterFault {
        name: "interruption-lost",
        what: "a system call that a signal should interrupt is restarted after the handler",
        spoil: |_, regs, _, _| *regs = regs.resumed(),
    },
    super::RegisterFault {
        name: "fp-lost",
        what: "the FP registers of every thread are zero",
        spoil: |_, _, note, data| {
            if note == NT_PRFPREG {
                data[..256].fill(0);
            }
        },
    },
    super::RegisterFault {
        name: "fpscr-lost",
        what: "rounding modes and sticky flags are lost",
        spoil: |_, _, note, data| {
            if note == NT_PRFPREG {
                data[256..264].fill(0);
            }
        },
    },
    super::RegisterFault {
        name: "vmx-lost",
        what: "the VMX registers of every thread are zero",
        spoil: |_, _, note, data| {
            if note == NT_PPC_VMX {
                data[..512].fill(0);
            }
        },
    },
    super::RegisterFault {
        name: "vmx-swapped",
        what: "two VMX registers are swapped",
        spoil: |_, _, note, data| {
            if note == NT_PPC_VMX {
                let (low, high) = data.split_at_mut(16 * 21);
                low[16 * 20..].swap_with_slice(&mut high[..16]);
            }
        },
    },
    super::RegisterFault {
        name: "vmx-of-other-threads-lost",
        what: "the VMX registers are zero in every thread but the first",
        spoil: |thread, _, note, data| {
            if note == NT_PPC_VMX && thread > 0 {
                data[..512].fill(0);
            }
        },
    },
    super::RegisterFault {
        name: "vrsave-lost",
        what: "VRSAVE is 0",
        spoil: |_, _, note, data| {
            if note == NT_PPC_VMX {
                data[528..532].fill(0);
            }
        },
    },
    super::RegisterFault {
        name: "vsx-halves-lost",
        what: "only the FP halves of the first 32 VSX registers are kept",
        spoil: |_, _, note, data| {
            if note == NT_PPC_VSX {
                data.fill(0);
            }
        },
    },
    super::RegisterFault {
        name: "tar-lost",
        what: "the target address register is 0",
        spoil: |_, _, note, data| {
            if note == NT_PPC_TAR {
                data.fill(0);
            }
        },
    },
    super::RegisterFault {
        name: "condition-lost",
        what: "the condition register is 0",
        spoil: |_, regs, _, _| regs.ccr = 0,
    },
    super::RegisterFault {
        name: "thread-pointer-lost",
        what: "the thread pointer is 0",
        spoil: |thread, regs, _, _| {
            if thread > 0 {
                regs.gpr[13] = 0;
            }
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn the_frame_has_its_parts_where_the_kernel_looks() {
        let mut regs = Regs { nip: 7, ..Regs::default() };
        regs.gpr[1] = 0x7fff_1238_0018;
        let sets = [vec![1u8; 264], vec![2u8; 544], vec![3u8; 256]];
        let frame = signal_frame(&regs, 5, &sets, 9, regs.gpr[1]);
        assert_eq!(frame.at % 16, 0);
        let at = |at: usize| word(&frame.bytes, at);
        assert_eq!((at(40), at(FRAME_GPR + 8), at(FRAME_GPR + 32 * 8)), (5, regs.gpr[1], 7));
        assert_eq!(at(FRAME_FPR + 264), frame.at + FRAME_VECTORS as u64);
        assert_eq!(
            (at(616), at(896), at(896 + 544)),
            (0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303)
        );
        assert_eq!((STUB_CONTROL + 7 * 8 + 8) % 16, 0);
    }

    #[test]
    fn code_tells_the_number() {
        // li r0, 246; mr r6, r31
        let code = [0xf6, 0, 0, 0x38, 0x78, 0xfb, 0xe6, 0x7f];
        assert_eq!(number_loaded(&code), Some(libc::SYS_clock_nanosleep));
        assert_eq!(number_loaded(&code[4..]), None);
    }
}
