//! Differences between architectures that are not the subject of a workload: numbers of system
//! calls that not every one has, the thread pointer, and a small function as bytes.

/// The system call that pause(3) blocks in: architectures since arm64 have no pause(2), there the C
/// library uses ppoll.
#[cfg(not(target_arch = "aarch64"))]
pub const PAUSE: libc::c_long = libc::SYS_pause;
#[cfg(target_arch = "aarch64")]
pub const PAUSE: libc::c_long = libc::SYS_ppoll;

/// The system call that poll(3) blocks in.
#[cfg(not(target_arch = "aarch64"))]
pub const POLL: libc::c_long = libc::SYS_poll;
#[cfg(target_arch = "aarch64")]
pub const POLL: libc::c_long = libc::SYS_ppoll;

/// The system call that epoll_wait(3) blocks in.
#[cfg(not(target_arch = "aarch64"))]
pub const EPOLL_WAIT: libc::c_long = libc::SYS_epoll_wait;
#[cfg(target_arch = "aarch64")]
pub const EPOLL_WAIT: libc::c_long = libc::SYS_epoll_pwait;

/// select(2) with five arguments, where there is one. powerpc has it as `_newselect`; the number of
/// its `select` has no call in 64-bit processes (arch/powerpc/kernel/syscalls/syscall.tbl).
#[cfg(target_arch = "x86_64")]
pub const SELECT: Option<libc::c_long> = Some(libc::SYS_select);
#[cfg(target_arch = "powerpc64")]
pub const SELECT: Option<libc::c_long> = Some(libc::SYS__newselect);
#[cfg(target_arch = "aarch64")]
pub const SELECT: Option<libc::c_long> = None;

/// The number of bits of an address in user space with the usual and with the largest page tables
/// of the machine, and how many pages at that end the kernel keeps free.
#[cfg(target_arch = "x86_64")]
pub const ADDRESS_ENDS: &[(u32, usize)] = &[(47, 1), (56, 1)];
/// 39, 42, 47 and 48 bits by page size, 52 with large virtual addresses (arch/arm64/Kconfig,
/// `ARM64_VA_BITS`).
#[cfg(target_arch = "aarch64")]
pub const ADDRESS_ENDS: &[(u32, usize)] = &[(39, 0), (42, 0), (47, 0), (48, 0), (52, 0)];
/// 64 TiB with small pages, 4 PiB with pages of 64 KiB (arch/powerpc/include/asm/task_size_64.h).
#[cfg(target_arch = "powerpc64")]
pub const ADDRESS_ENDS: &[(u32, usize)] = &[(46, 0), (47, 0), (52, 0)];

/// Machine code of a function without arguments that returns 0x5aa5, position independent.
/// `mov eax, 0x5aa5; ret`.
#[cfg(target_arch = "x86_64")]
pub const CODE: &[u8] = &[0xb8, 0xa5, 0x5a, 0x00, 0x00, 0xc3];
/// `mov w0, #0x5aa5; ret`.
#[cfg(target_arch = "aarch64")]
pub const CODE: &[u8] = &[0xa0, 0x54, 0x8b, 0x52, 0xc0, 0x03, 0x5f, 0xd6];
/// `li r3, 0x5aa5; blr`.
#[cfg(target_arch = "powerpc64")]
pub const CODE: &[u8] = &[0xa5, 0x5a, 0x60, 0x38, 0x20, 0x00, 0x80, 0x4e];

/// Makes instruction fetch see the data written to `start`, the first bytes of a page, which hold
/// [`CODE`].
#[cfg(target_arch = "x86_64")]
pub fn flush_code(_start: *const u8) {}
#[cfg(target_arch = "aarch64")]
pub fn flush_code(start: *const u8) {
    // SAFETY: cache maintenance by address of mapped memory changes no contents. The code is in one
    // line: it starts a page.
    unsafe {
        std::arch::asm!(
            "dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb",
            in(reg) start, options(nostack, preserves_flags)
        );
    }
}
#[cfg(target_arch = "powerpc64")]
pub fn flush_code(start: *const u8) {
    // SAFETY: cache maintenance by address of mapped memory changes no contents. The code is in one
    // line: it starts a page.
    unsafe {
        std::arch::asm!(
            "dcbst 0, {0}", "sync", "icbi 0, {0}", "sync", "isync",
            in(reg_nonzero) start, options(nostack, preserves_flags)
        );
    }
}

/// The calling thread's thread pointer, as the C library counts from it.
pub fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads the thread pointer only. On x86_64 the first word of the control block is its
    // own address.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, readonly, preserves_flags));
    }
    // SAFETY: reads the thread pointer only.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem, preserves_flags));
    }
    // SAFETY: reads the thread pointer only.
    #[cfg(target_arch = "powerpc64")]
    unsafe {
        std::arch::asm!("mr {}, 13", out(reg) pointer, options(nostack, nomem, preserves_flags));
    }
    pointer
}
