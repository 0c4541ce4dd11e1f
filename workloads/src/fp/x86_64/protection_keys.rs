//! pkey_alloc(2) and pkey_mprotect(2): the key belongs to the mapping, the rights to the thread, the allocation to the address
//! space.

use super::has_protection_keys;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    name: "protection-keys",
    group: "fp",
    purpose: "a page under a protection key of its own",
    needs: &[],
    moving: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    if !has_protection_keys() {
        return skip("the processor or the kernel has no protection keys");
    }
    let mut memory = Mapping::private(2 * page_size())?;
    pattern::fill(memory.bytes_mut(), cx.seed);
    // SAFETY: no memory arguments. 1 is PKEY_DISABLE_ACCESS.
    let key = sys::check("pkey_alloc", unsafe { libc::syscall(libc::SYS_pkey_alloc, 0, 1) })?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: our own page; it is not touched until its rights are given back.
    sys::check("pkey_mprotect", unsafe {
        libc::syscall(libc::SYS_pkey_mprotect, memory.start(), page_size(), prot, key)
    })?;

    cx.ready()?;

    let vma = procfs::vma_at(memory.start())?;
    expect_eq("key of the page", vma.kib("ProtectionKey")? as i64, key)?;
    let start = memory.start();
    let child = fork("touching child", || {
        // SAFETY: what happens happens to a child that ends in any case.
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
        libc::syscall(libc::SYS_pkey_mprotect, memory.start(), page_size(), prot, 0)
    })?;
    pattern::verify("contents", memory.bytes(), cx.seed)?;
    // SAFETY: no mapping has the key any more. It must still be allocated for this to succeed.
    sys::check("pkey_free", unsafe { libc::syscall(libc::SYS_pkey_free, key) })?;
    Ok(())
}
