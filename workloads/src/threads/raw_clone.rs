//! clone(2) with CLONE_THREAD and without thread-local storage of its own: the kernel clears and
//! wakes a word of ours when it exits.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread made without the C library, on a stack of its own",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static GO: Cell = Cell::new();
/// Set to the thread id by the kernel, cleared by it at exit.
static ALIVE: AtomicU32 = AtomicU32::new(u32::MAX);
static SEEN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn body(argument: *mut libc::c_void) -> i32 {
    // No thread-local variables of its own: only raw calls and atomics from here on.
    GO.block_until(1);
    SEEN.store(argument as usize, Ordering::SeqCst);
    0
}

fn run(cx: &mut Ctx) -> Outcome {
    let stack = Mapping::private(16 * page_size())?;
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the stack is ours, aligned and stays mapped until the kernel has cleared `ALIVE`;
    // `body` keeps to what a thread may do that shares the thread pointer with its maker.
    let tid = sys::check("clone", unsafe {
        libc::clone(
            body,
            stack.end() as *mut _,
            flags,
            0x5eed as *mut _,
            ALIVE.as_ptr(),
            null,
            ALIVE.as_ptr(),
        )
    })?;
    thread::wait_blocked_in(tid, libc::SYS_futex)?;

    cx.ready()?;

    expect_eq("word that the kernel keeps", ALIVE.load(Ordering::SeqCst), tid as u32)?;
    GO.set(1);
    sync::wait_until("the kernel to clear the word", || Ok(ALIVE.load(Ordering::SeqCst) == 0))?;
    expect_eq("argument that the thread got", SEEN.load(Ordering::SeqCst), 0x5eed)
}
