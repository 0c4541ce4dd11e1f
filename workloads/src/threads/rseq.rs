//! The rseq(2) area that the C library registers for each thread, found through the symbols it exports (glibc 2.35 on).

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
    let area = thread_pointer().wrapping_add_signed(offset);
    // SAFETY: the C library keeps the area at this place for the thread's life; the kernel writes it.
    unsafe { &*((area + 4) as *const AtomicU32) }.load(Ordering::SeqCst)
}

/// The calling thread's thread pointer, from which `__rseq_offset` counts.
fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads the thread pointer only. On x86_64 the first word of the control block is its own address.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, readonly, preserves_flags));
    }
    // SAFETY: reads the thread pointer only.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem, preserves_flags));
    }
    pointer
}

/// Adds one to the counter of the processor that the calling thread runs on, in a restartable sequence.
#[cfg(target_arch = "x86_64")]
pub fn increment(offset: isize, counters: &'static [std::sync::atomic::AtomicU64]) -> Result<()> {
    let area = thread_pointer().wrapping_add_signed(offset);
    anyhow::ensure!(
        (cpu_id(offset) as usize) < counters.len(),
        "processor {} has no counter",
        cpu_id(offset)
    );
    // SAFETY: the area is the calling thread's; there is a counter for every processor number that Linux gives on machines
    // of this size, as just checked for the present one.
    unsafe { increment_in_sequence(area as *mut u8, counters.as_ptr().cast()) };
    Ok(())
}

/// The sequence: announce the descriptor, read the processor number, load, dawdle so that an interruption here is likely, store.
/// The store is the commit. The signature before the abort handler is the one that the C library registers on x86.
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
