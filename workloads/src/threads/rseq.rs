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
