//! A handler for SIGSEGV that repairs the fault: the kernel passes it the address.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "a SIGSEGV handler that makes the page writable and goes on",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static PLACE: AtomicUsize = AtomicUsize::new(0);
static FAULTS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn repair(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a whole siginfo to a handler with SA_SIGINFO.
    let at = unsafe { (*info).si_addr() } as usize;
    let page = PLACE.load(SeqCst);
    FAULTS.fetch_add(1, SeqCst);
    // SAFETY: the page belongs to the workload. Any other address is a real fault: end at once.
    unsafe {
        if !(page..page + page_size()).contains(&at) {
            libc::_exit(1);
        }
        libc::mprotect(page as *mut _, page_size(), libc::PROT_READ | libc::PROT_WRITE);
    }
}

fn run(cx: &mut Ctx) -> Outcome {
    let mut page = Mapping::private(page_size())?;
    page.bytes_mut()[17] = 42;
    PLACE.store(page.start(), SeqCst);
    signal::handle(libc::SIGSEGV, repair, libc::SA_NODEFER, &[])?;
    page.protect(0, 1, libc::PROT_NONE)?;
    // SAFETY: the address is in the page, which the handler makes accessible.
    expect_eq("byte, first fault", unsafe { page.ptr().add(17).read_volatile() }, 42)?;
    page.protect(0, 1, libc::PROT_NONE)?;

    cx.ready()?;

    expect_eq("faults before", FAULTS.load(SeqCst), 1usize)?;
    // SAFETY: as above.
    expect_eq("byte, second fault", unsafe { page.ptr().add(17).read_volatile() }, 42)?;
    page.protect(0, 1, libc::PROT_READ)?;
    // SAFETY: as above; the write faults because the page is read-only.
    unsafe { page.ptr().add(18).write_volatile(43) };
    expect_eq("byte, third fault", page.bytes()[18], 43)?;
    expect_eq("faults", FAULTS.load(SeqCst), 3usize)
}
