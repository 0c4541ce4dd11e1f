//! x86-64: general registers, XSAVE area, system call ABI, the executor stub.

mod regs;

pub use regs::Regs;

use super::{RefusedState, SignalFrame};
use crate::sys::ptrace;
use regs::NO_SYSCALL;
use std::arch::global_asm;

/// ELF `e_machine` of this architecture (`EM_X86_64`).
pub const E_MACHINE: u16 = 62;

/// The system call instruction, which sits in the vdso of every process.
pub const SYSCALL_INSN: &[u8] = &[0x0f, 0x05];

/// What may be one past the highest user address, the largest first. Here only that of four-level
/// page tables: above it nothing is mapped unless asked for by address
/// (Documentation/arch/x86/x86_64/5level-paging.rst).
pub const TASK_SIZES: &[u64] = &[0x00ff_ffff_ffff_f000, 0x7fff_ffff_f000];

/// One past the highest address that mmap(2) chooses by itself, `DEFAULT_MAP_WINDOW`
/// (arch/x86/include/asm/page_64_types.h); some kernels have fewer.
pub const MAP_WINDOW: u64 = 0x7fff_ffff_f000;

/// `struct termios2`, which has speeds (include/uapi/asm-generic/termbits.h), with `TCGETS2` and
/// `TCSETS2`.
pub const TERMIOS: super::TermiosLayout =
    super::TermiosLayout { line: 16, characters: 17, get: 0x802c_542a, set: 0x402c_542b };

/// `O_LARGEFILE` (include/uapi/asm-generic/fcntl.h), which C libraries define as 0.
pub const O_LARGEFILE: i32 = 0o100_000;

/// Whether memory can have tags.
pub const MEMORY_TAGS: bool = false;

/// Precedes the abort handlers of restartable sequences (tools/testing/selftests/rseq/rseq-x86.h);
/// glibc registers with it.
pub const RSEQ_SIGNATURE: u32 = 0x5305_3053;

/// The arguments of a call that a stop interrupts are there when the stop shows.
pub const STOPS_LOSE_ARGUMENTS: bool = false;

/// Before the first process is created: nothing to do here.
pub fn prepare_restart() {}

/// System calls that report EINTR to a stop although no handler ran, and that have done nothing
/// when they do (signal(7), last list).
pub fn repeatable_after_eintr(nr: i64) -> bool {
    matches!(
        nr,
        libc::SYS_epoll_wait
            | libc::SYS_epoll_pwait
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
/// kernel/futex, fs/select.c).
pub const WITH_TIME_LEFT: &[i64] =
    &[libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_futex, libc::SYS_poll];

/// The system call number that code, which ends before the instruction, loads last: `mov $nr,
/// %eax`.
pub fn number_loaded(code: &[u8]) -> Option<i64> {
    let load = code.windows(5).rposition(|c| c[0] == 0xb8 && c[3..] == [0, 0])?;
    Some(i64::from(u16::from_le_bytes([code[load + 1], code[load + 2]])))
}

/// Bytes below the stack pointer that are in use (arch/x86/kernel/signal.c, `get_sigframe`).
pub const RED_ZONE: u64 = 128;

/// Registers show which system call a stop has interrupted.
pub const SHOWS_INTERRUPTED: bool = true;

/// There were kernels on which system calls can be dispatched to the program, and no tracer is
/// told.
pub const DISPATCHES_SYSCALLS: bool = true;

/// Number of pkey_mprotect(2).
pub const SYS_PKEY_MPROTECT: i64 = libc::SYS_pkey_mprotect;
/// `shmat`
pub const SYS_SHMAT: i64 = libc::SYS_shmat;
/// Number of pkey_alloc(2).
pub const SYS_PKEY_ALLOC: i64 = libc::SYS_pkey_alloc;
/// Number of pkey_free(2).
pub const SYS_PKEY_FREE: i64 = libc::SYS_pkey_free;

/// Number of arch_prctl(2), where there is such a call.
pub const SYS_ARCH_PRCTL: Option<i64> = Some(libc::SYS_arch_prctl);
/// Number of modify_ldt(2), where there is such a call.
pub const SYS_MODIFY_LDT: Option<i64> = Some(libc::SYS_modify_ldt);

/// Number of restart_syscall(2).
pub const SYS_RESTART_SYSCALL: i64 = libc::SYS_restart_syscall;

/// Note types of the extended register sets, in the order they are written back. A kernel or
/// machine need not have all.
pub const EXTENDED_SETS: &[u32] = &[NT_X86_XSTATE];
/// Sets that only a thread has that cannot be saved.
pub const REFUSED_SETS: &[(u32, &str)] =
    &[(NT_386_IOPERM, "may use I/O ports (ioperm); drop the permission first")];
/// `NT_386_IOPERM`, include/uapi/linux/elf.h.
const NT_386_IOPERM: u32 = 0x201;

/// States that cannot be brought back. arch/x86/include/uapi/asm/prctl.h; arch/x86/kernel/ldt.c,
/// `read_ldt`.
pub const REFUSED_STATES: &[RefusedState] = &[
    RefusedState {
        nr: libc::SYS_modify_ldt,
        args: &[0, 0, 8],
        out: 1,
        room: 8,
        what: "has segments in its local descriptor table (modify_ldt); start the job without them",
        // Bytes of the table; 0 without one. A number of 32 bits, whose upper half is that of an
        // unsigned one.
        there: |result, _| (result as i32) > 0,
    },
    RefusedState {
        nr: libc::SYS_arch_prctl,
        args: &[ARCH_GET_XCOMP_PERM, 0],
        out: 1,
        room: 8,
        what: "may use AMX tiles (ARCH_REQ_XCOMP_PERM); start the job without them",
        there: |result, mask| result == 0 && mask[2] & 1 << 2 != 0, // XFEATURE_XTILE_DATA, 18
    },
    RefusedState {
        nr: libc::SYS_arch_prctl,
        args: &[ARCH_GET_UNTAG_MASK, 0],
        out: 1,
        room: 8,
        what: "has tagged addresses (ARCH_ENABLE_TAGGED_ADDR); start the job without them",
        there: |result, mask| result == 0 && mask.iter().any(|byte| *byte != 0xff),
    },
];
const ARCH_GET_XCOMP_PERM: i64 = 0x1022;
const ARCH_GET_UNTAG_MASK: i64 = 0x4001;

/// Whether a thread has any segment of set_thread_area(2): three entries of the global descriptor
/// table, an empty one without anything but the flags of one that is not present
/// (arch/x86/include/asm/desc.h, `LDT_empty`).
///
/// # Errors
/// What ptrace says.
pub fn has_thread_areas(tid: i32) -> std::io::Result<bool> {
    const FIRST: usize = 12; // GDT_ENTRY_TLS_MIN
    for entry in FIRST..FIRST + 3 {
        let Some([_, base, limit, flags]) = ptrace::thread_area(tid, entry)? else { return Ok(false) };
        // read_exec_only and seg_not_present.
        if (base, limit, flags & 0x7f) != (0, 0, 0x28) {
            return Ok(true);
        }
    }
    Ok(false)
}
/// Sets that are part of others as long as these are live.
pub const PART_OF: &[(u32, &[u32])] = &[];
/// Those of [`EXTENDED_SETS`] that system calls change.
pub const LOST_IN_SYSCALLS: &[u32] = &[];
/// Those that a signal frame holds.
pub const SIGNAL_FRAME_SETS: &[u32] = &[NT_X86_XSTATE];
/// The one with the thread pointer, where that is no general register.
pub const TLS_SET: Option<u32> = None;
/// `NT_X86_XSTATE`, include/uapi/linux/elf.h.
pub const NT_X86_XSTATE: u32 = 0x202;
/// No XSAVE area is larger: AMX tiles bring it to 11 KiB.
pub const EXTENDED_MAX: usize = 64 * 1024;

/// Where the kernel writes XCR0 into the legacy area's software bytes
/// (arch/x86/include/uapi/asm/sigcontext.h).
const XSAVE_XCR0: usize = 464;
const XSAVE_XSTATE_BV: usize = 512;

/// Makes the thread, at the entry stop of a system call, not make it.
///
/// # Errors
/// What ptrace says.
pub fn skip_syscall(tid: i32) -> std::io::Result<()> {
    let regs = ptrace::get_regs(tid)?;
    ptrace::set_regs(tid, &Regs { orig_rax: NO_SYSCALL, ..regs })
}

/// Whether a set that system calls change holds something to lose.
pub fn is_live(_note: u32, _data: &[u8]) -> bool {
    true
}

/// A set as it is kept in a record.
pub fn canonical(_note: u32, data: Vec<u8>) -> Option<Vec<u8>> {
    Some(data)
}

/// Checks that a saved extended set fits this machine, of which `here` is a sample.
///
/// # Errors
/// A text that names the missing features.
pub fn extended_fits(_note: u32, saved: &[u8], here: &[u8]) -> Result<(), String> {
    let word = |area: &[u8], at: usize| -> u64 {
        area.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()))
    };
    let missing = word(saved, XSAVE_XSTATE_BV) & !word(here, XSAVE_XCR0);
    if missing != 0 {
        return Err(format!("XSAVE features {missing:#x}, which this machine lacks"));
    }
    if saved.len() > here.len() {
        return Err(format!("XSAVE area of {} bytes, but {} on this machine", saved.len(), here.len()));
    }
    Ok(())
}

/// To be called after a register set was written.
pub fn vectors_are_lost() {}

/// Where two XSAVE areas differ in what user code can see: not the kernel's note of its own
/// features, and not which components are in their initial state, because their values are there in
/// any case.
pub fn extended_difference(_note: u32, want: &[u8], have: &[u8]) -> Option<usize> {
    let ignored = XSAVE_XCR0..XSAVE_XSTATE_BV + 8;
    (0..want.len().max(have.len())).find(|at| !ignored.contains(at) && want.get(*at) != have.get(*at))
}

/// `syscall; ret`, at the address that [`Regs::for_syscall`] wants.
pub const SYSCALL_AND_RETURN: &[u8] = &[0x0f, 0x05, 0xc3];
/// `mov $15, %rax; syscall`, in either encoding: what C libraries hand to the kernel as
/// `sa_restorer`.
pub const SIGRETURN_CODE: &[&[u8]] =
    &[&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05], &[0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05]];

/// The frame from which rt_sigreturn(2), at `sigreturn`, restores registers and mask: `struct
/// rt_sigframe` (arch/x86/include/asm/sigframe.h) with the address of the caller's code first,
/// below `top`.
pub fn signal_frame(regs: &Regs, mask: u64, sets: &[Vec<u8>], sigreturn: u64, top: u64) -> SignalFrame {
    let xsave = &sets[0];
    const UCONTEXT_SIZE: u64 = 304;
    const SIGINFO_SIZE: u64 = 128;
    const MAGIC1: u32 = 0x4650_5853;
    const MAGIC2: u32 = 0x4650_5845;
    const AMX: u64 = 3 << 17;
    /// Everything before the tiles, of which a task without the permission has no room in its
    /// frames.
    const SIZE_WITHOUT_AMX: usize = 2696;
    let word = |at: usize| u64::from_le_bytes(xsave[at..at + 8].try_into().expect("eight bytes"));
    let features = word(XSAVE_XCR0);
    let size = match xsave.len() {
        len if len > SIZE_WITHOUT_AMX && word(XSAVE_XSTATE_BV) & AMX == 0 => SIZE_WITHOUT_AMX,
        len => len,
    };
    let xsave_at = (top - size as u64 - 4) & !63;
    let at = ((xsave_at - SIGINFO_SIZE - UCONTEXT_SIZE) & !15) - 8;

    // UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
    let mut words = vec![sigreturn, 7, 0];
    // An alternate stack with flags that do not exist: the one that is set stays.
    words.extend([0, 0xffff_ffff, 0]);
    words.extend([
        regs.r8,
        regs.r9,
        regs.r10,
        regs.r11,
        regs.r12,
        regs.r13,
        regs.r14,
        regs.r15,
        regs.rdi,
        regs.rsi,
        regs.rbp,
        regs.rbx,
        regs.rdx,
        regs.rax,
        regs.rcx,
        regs.rsp,
        regs.rip,
        regs.eflags,
        regs.cs | regs.ss << 48,
    ]);
    // Error code, trap number, old mask, address of a fault.
    words.extend([0; 4]);
    words.push(xsave_at);
    words.extend([0; 8]);
    words.push(mask);
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    bytes.resize((xsave_at - at) as usize, 0);
    bytes.extend(&xsave[..size]);
    // struct _fpx_sw_bytes (arch/x86/include/uapi/asm/sigcontext.h) in the legacy area.
    let software = (xsave_at - at) as usize + XSAVE_XCR0;
    let mut put =
        |at: usize, value: &[u8]| bytes[software + at..software + at + value.len()].copy_from_slice(value);
    put(0, &MAGIC1.to_le_bytes());
    put(4, &(size as u32 + 4).to_le_bytes());
    put(8, &features.to_le_bytes());
    put(16, &(size as u32).to_le_bytes());
    bytes.extend(MAGIC2.to_le_bytes());
    SignalFrame { at, bytes }
}

/// Words that [`Regs::stub_way_back`] yields.
const STUB_SAVED: usize = 18;
/// Whether a thread that leaves the stub without its tracer can still continue an interrupted sleep
/// with the time that is left: the last step is a jump.
pub const STUB_KEEPS_TIME_LEFT: bool = true;
/// Where the control block begins, in bytes from the stub's start. The stub reaches its last jump
/// through this distance.
pub const STUB_CONTROL: u64 = 0x1_0000;

// Control block, offsets in bytes: 0 table   8 count   16 left   24 tgid   32 tid   40 signal   48
// mask   56.. saved registers (eflags first, rip last)
global_asm!(
    ".pushsection .rodata.cairn_stub, \"a\", @progbits",
    ".balign 16",
    ".globl cairn_stub_start",
    ".globl cairn_stub_end",
    "cairn_stub_start:",
    ".set cairn_stub_ip, cairn_stub_start + 0x10000 + 192", // the last saved register
    "    mov r12, [rbx]",
    "    mov r13, [rbx + 8]",
    "2:  test r13, r13",
    "    jz 9f",
    "    mov r14, [r12 + 56]",
    "    mov rdi, [r12 + 8]",
    "    test r14d, 1",
    "    jz 3f",
    "    mov rdi, [rdi]",
    "3:  mov rsi, [r12 + 16]",
    "    test r14d, 2",
    "    jz 3f",
    "    mov rsi, [rsi]",
    "3:  mov rdx, [r12 + 24]",
    "    test r14d, 4",
    "    jz 3f",
    "    mov rdx, [rdx]",
    "3:  mov r10, [r12 + 32]",
    "    test r14d, 8",
    "    jz 3f",
    "    mov r10, [r10]",
    "3:  mov r8, [r12 + 40]",
    "    test r14d, 16",
    "    jz 3f",
    "    mov r8, [r8]",
    "3:  mov r9, [r12 + 48]",
    "    test r14d, 32",
    "    jz 3f",
    "    mov r9, [r9]",
    "3:  mov rax, [r12]",
    "    syscall",
    "    mov [r12 + 64], rax",
    "    test r14d, 64", // must not fail
    "    jz 4f",
    "    cmp rax, -4095",
    "    jae 9f",
    "4:  test r14d, 128", // must be as expected
    "    jz 5f",
    "    cmp rax, [r12 + 72]",
    "    jne 9f",
    "5:  add r12, 80",
    "    dec r13",
    "    jmp 2b",
    // Done: tell the tracer by a signal that does nothing to a task without one.
    "9:  mov [rbx + 16], r13",
    "    mov eax, 234", // tgkill
    "    mov rdi, [rbx + 24]",
    "    mov rsi, [rbx + 32]",
    "    mov rdx, [rbx + 40]",
    "    syscall",
    ".globl cairn_stub_done",
    "cairn_stub_done:",
    // Only a task whose tracer has died comes here: put everything back and go on as if nothing had
    // been.
    "    mov eax, 14", // rt_sigprocmask(SIG_SETMASK, &mask, NULL, 8)
    "    mov edi, 2",
    "    lea rsi, [rbx + 48]",
    "    xor edx, edx",
    "    mov r10d, 8",
    "    syscall",
    "    push qword ptr [rbx + 56]",
    "    popfq",
    "    mov r15, [rbx + 64]",
    "    mov r14, [rbx + 72]",
    "    mov r13, [rbx + 80]",
    "    mov r12, [rbx + 88]",
    "    mov rbp, [rbx + 96]",
    "    mov r11, [rbx + 104]",
    "    mov r10, [rbx + 112]",
    "    mov r9, [rbx + 120]",
    "    mov r8, [rbx + 128]",
    "    mov rax, [rbx + 136]",
    "    mov rcx, [rbx + 144]",
    "    mov rdx, [rbx + 152]",
    "    mov rsi, [rbx + 160]",
    "    mov rdi, [rbx + 168]",
    "    mov rsp, [rbx + 176]",
    "    mov rbx, [rbx + 184]",
    "    jmp qword ptr [rip + cairn_stub_ip]",
    "cairn_stub_end:",
    ".popsection",
);

/// Zeroes a part of an XSAVE area.
#[cfg(feature = "planted-faults")]
fn wipe(area: &mut [u8], range: std::ops::Range<usize>) {
    let end = range.end.min(area.len());
    if let Some(part) = area.get_mut(range.start..end) {
        part.fill(0);
    }
}

/// Errors of the registers, for [`crate::fault`].
#[cfg(feature = "planted-faults")]
pub const FAULTS: &[super::RegisterFault] = &[
    super::RegisterFault {
        name: "interruption-lost",
        what: "a system call that a signal should interrupt is restarted after the handler",
        spoil: |_, regs, _, _| *regs = regs.resumed(),
    },
    super::RegisterFault {
        name: "sse-lost",
        what: "the SSE registers of every thread are zero",
        spoil: |_, _, _, area| wipe(area, 160..416),
    },
    super::RegisterFault {
        name: "x87-lost",
        what: "the x87 registers of every thread are zero",
        spoil: |_, _, _, area| wipe(area, 32..160),
    },
    super::RegisterFault {
        name: "avx-upper-lost",
        what: "the upper halves of the AVX registers are zero",
        spoil: |_, _, _, area| wipe(area, 576..832),
    },
    super::RegisterFault {
        name: "sse-swapped",
        what: "two SSE registers are swapped",
        spoil: |_, _, _, area| {
            let (low, high) = area.split_at_mut(176);
            low[160..].swap_with_slice(&mut high[..16]);
        },
    },
    super::RegisterFault {
        name: "sse-of-other-threads-lost",
        what: "the SSE registers are zero in every thread but the first",
        spoil: |thread, _, _, area| {
            if thread > 0 {
                wipe(area, 160..416);
            }
        },
    },
    super::RegisterFault {
        name: "mxcsr-lost",
        what: "rounding and exception masks of SSE are lost",
        spoil: |_, _, _, area| wipe(area, 24..28),
    },
    super::RegisterFault {
        name: "thread-pointer-lost",
        what: "the thread pointer is 0",
        spoil: |thread, regs, _, _| {
            if thread > 0 {
                regs.fs_base = 0;
            }
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_frame_lies_below_the_red_zone_and_is_aligned() {
        let regs = Regs { rsp: 0x7fff_0000_1238, rip: 7, ..Regs::default() };
        let top = regs.rsp - RED_ZONE;
        for size in [832, 2696, 11008] {
            let frame = signal_frame(&regs, 5, &[vec![0u8; size]], 9, top);
            assert!(frame.at + frame.bytes.len() as u64 <= top);
            // As at the entry of a handler: a return address was pushed to an aligned stack.
            assert_eq!(frame.at % 16, 8);
            let word = |at: usize| u64::from_le_bytes(frame.bytes[at..at + 8].try_into().unwrap());
            assert_eq!((word(0), word(8 + 304 - 8), word(8 + 40 + 16 * 8)), (9, 5, 7));
            let xsave_at = word(8 + 40 + 184);
            assert_eq!(xsave_at % 64, 0);
            assert_eq!(xsave_at - frame.at + size.min(2696) as u64 + 4, frame.bytes.len() as u64);
        }
    }

    #[test]
    fn code_tells_the_number() {
        // xor %r10d,%r10d; mov $230,%eax; mov %rbx,%rdx
        let code = [0x45, 0x31, 0xd2, 0xb8, 0xe6, 0, 0, 0, 0x48, 0x89, 0xda];
        assert_eq!(number_loaded(&code), Some(libc::SYS_clock_nanosleep));
        assert_eq!(number_loaded(&code[4..]), None);
    }
}
