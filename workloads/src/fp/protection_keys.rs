//! pkey_alloc(2) and pkey_mprotect(2): the key belongs to the mapping, the rights to the thread,
//! the allocation to the address space.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a page under a protection key of its own",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// The system calls. libc has them for x86_64 only.
pub mod call {
    #[cfg(target_arch = "x86_64")]
    pub use libc::{SYS_pkey_alloc as ALLOC, SYS_pkey_free as FREE, SYS_pkey_mprotect as MPROTECT};
    #[cfg(target_arch = "powerpc64")]
    pub const ALLOC: libc::c_long = 384;
    #[cfg(target_arch = "powerpc64")]
    pub const FREE: libc::c_long = 385;
    #[cfg(target_arch = "powerpc64")]
    pub const MPROTECT: libc::c_long = 386;
}

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::private(2 * page_size())?;
    pattern::fill(memory.bytes_mut(), cx.seed);
    // SAFETY: no memory arguments. 1 is PKEY_DISABLE_ACCESS.
    let key = match sys::check("pkey_alloc", unsafe { libc::syscall(call::ALLOC, 0, 1) }) {
        Err(e) if matches!(sys::errno_in(&e), Some(libc::ENOSPC | libc::EINVAL | libc::ENOSYS)) => {
            return skip("the processor or the kernel has no protection keys");
        }
        other => other?,
    };
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: our own page; it is not touched until its rights are given back.
    sys::check("pkey_mprotect", unsafe {
        libc::syscall(call::MPROTECT, memory.start(), page_size(), prot, key)
    })?;

    cx.ready()?;

    let vma = procfs::vma_at(memory.start())?;
    expect_eq("key of the page", vma.kib("ProtectionKey")? as i64, key)?;
    let start = memory.start();
    let child = fork("touching child", || {
        // SAFETY: any fault only affects a child that exits in any case.
        unsafe {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &none);
            std::hint::black_box(std::ptr::read_volatile(start as *const u8));
        }
        Ok(())
    })?;
    child.join_killed(libc::SIGSEGV)?;
    // SAFETY: as above; key 0 gives the page back to everybody.
    sys::check("pkey_mprotect", unsafe {
        libc::syscall(call::MPROTECT, memory.start(), page_size(), prot, 0)
    })?;
    pattern::verify("contents", memory.bytes(), cx.seed)?;
    // SAFETY: no mapping has the key any more. It must still be allocated for this to succeed.
    sys::check("pkey_free", unsafe { libc::syscall(call::FREE, key) })?;
    Ok(())
}
