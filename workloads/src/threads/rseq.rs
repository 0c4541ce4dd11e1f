//! The rseq(2) area that the C library registers for each thread, found through the symbols it
//! exports (glibc 2.35 on).

use crate::framework::arch;
use anyhow::Result;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Offset of the area from the thread pointer; `None` when the C library registers none.
pub fn offset() -> Result<Option<isize>> {
    let (Some(offset), Some(size)) = (symbol(c"__rseq_offset"), symbol(c"__rseq_size")) else {
        return Ok(None);
    };
    // SAFETY: both symbols are constants of these types in every glibc that has them.
    let (offset, size) = unsafe { (*offset.cast::<isize>(), *size.cast::<u32>()) };
    Ok((size != 0).then_some(offset))
}

fn symbol(name: &CStr) -> Option<*const libc::c_void> {
    // SAFETY: the name is a C string; the default scope is always searchable.
    let at = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!at.is_null()).then_some(at.cast_const())
}

/// `cpu_id` of the calling thread's area: the second word of struct rseq.
pub fn cpu_id(offset: isize) -> u32 {
    let area = arch::thread_pointer().wrapping_add_signed(offset);
    // SAFETY: the C library keeps the area at this place for the thread's life; the kernel writes
    // it.
    unsafe { &*((area + 4) as *const AtomicU32) }.load(Ordering::SeqCst)
}

/// Adds one to the counter of the processor that the calling thread runs on, in a restartable
/// sequence.
pub fn increment(offset: isize, counters: &'static [std::sync::atomic::AtomicU64]) -> Result<()> {
    let area = arch::thread_pointer().wrapping_add_signed(offset);
    anyhow::ensure!(
        (cpu_id(offset) as usize) < counters.len(),
        "processor {} has no counter",
        cpu_id(offset)
    );
    // SAFETY: the area is the calling thread's; there is a counter for every processor number that
    // Linux gives on machines of this size, as just checked for the present one.
    unsafe { increment_in_sequence(area as *mut u8, counters.as_ptr().cast()) };
    Ok(())
}

/// The sequence: register the descriptor, read the processor number, load, delay so that an
/// interruption here is likely, store. The store is the commit. The signature before the abort
/// handler is the one that the C library registers on the architecture
/// (sysdeps/unix/sysv/linux/ARCH/bits/rseq.h of glibc 2.35).
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn increment_in_sequence(area: *mut u8, counters: *const u64) {
    std::arch::naked_asm!(
        ".pushsection .data.rel.cairn_rseq, \"aw\"",
        ".balign 32",
        "2:",
        ".long 0, 0",
        ".quad 4f, 5f - 4f, 6f",
        ".popsection",
        "3:",
        "lea rax, [rip + 2b]",
        "mov [rdi + 8], rax",
        "4:",
        "mov eax, [rdi + 4]",
        "mov rdx, [rsi + rax * 8]",
        "mov ecx, 100",
        "7:",
        "dec ecx",
        "jnz 7b",
        "inc rdx",
        "mov [rsi + rax * 8], rdx",
        "5:",
        "mov qword ptr [rdi + 8], 0",
        "ret",
        ".byte 0x0f, 0xb9, 0x3d",
        ".long 0x53053053",
        "6:",
        "jmp 3b",
    )
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn increment_in_sequence(area: *mut u8, counters: *const u64) {
    std::arch::naked_asm!(
        ".pushsection .data.rel.cairn_rseq, \"aw\"",
        ".balign 32",
        "2:",
        ".long 0, 0",
        ".quad 4f, 5f - 4f, 6f",
        ".popsection",
        "3:",
        "adrp x8, 2b",
        "add x8, x8, :lo12:2b",
        "str x8, [x0, #8]",
        "4:",
        "ldr w9, [x0, #4]",
        "ldr x10, [x1, x9, lsl #3]",
        "mov w11, #100",
        "7:",
        "subs w11, w11, #1",
        "b.ne 7b",
        "add x10, x10, #1",
        "str x10, [x1, x9, lsl #3]",
        "5:",
        "str xzr, [x0, #8]",
        "ret",
        ".inst 0xd428bc00",
        "6:",
        "b 3b",
    )
}

#[cfg(target_arch = "powerpc64")]
#[unsafe(naked)]
unsafe extern "C" fn increment_in_sequence(area: *mut u8, counters: *const u64) {
    std::arch::naked_asm!(
        ".pushsection .data.rel.cairn_rseq, \"aw\"",
        ".balign 32",
        "2:",
        ".long 0, 0",
        ".quad 4f, 5f - 4f, 6f",
        ".popsection",
        "mflr 0",
        "bcl 20, 31, 8f",
        "8:",
        "mflr 5",
        "mtlr 0",
        "addis 5, 5, (2b - 8b)@ha",
        "addi 5, 5, (2b - 8b)@l",
        "3:",
        "std 5, 8(3)",
        "4:",
        "lwz 6, 4(3)",
        "sldi 6, 6, 3",
        "ldx 7, 4, 6",
        "li 8, 100",
        "mtctr 8",
        "7:",
        "bdnz 7b",
        "addi 7, 7, 1",
        "stdx 7, 4, 6",
        "5:",
        "li 8, 0",
        "std 8, 8(3)",
        "blr",
        ".long 0x0fe5000b",
        "6:",
        "b 3b",
    )
}
