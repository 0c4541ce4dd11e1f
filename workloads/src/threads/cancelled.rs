//! pthread_cancel(3) is a signal that the C library sends to a thread, here one that is blocked in
//! pause(2), and whose handler unwinds the thread's stack.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread that is cancelled after the restart",
    needs: &[Need::Dynamic],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut id: libc::pthread_t = 0;
    // The C library's pause(3) is the whole thread: no Rust frame is unwound. SAFETY: pause ignores
    // the argument that it is called with and returns a word that is not used.
    let rc = unsafe {
        type Start = extern "C" fn(*mut libc::c_void) -> *mut libc::c_void;
        let pause: Start = std::mem::transmute::<unsafe extern "C" fn() -> libc::c_int, Start>(libc::pause);
        libc::pthread_create(&mut id, std::ptr::null(), pause, std::ptr::null_mut())
    };
    expect_eq("pthread_create", rc, 0)?;
    let main = sys::getpid();
    let tid = procfs::tids()?.into_iter().find(|tid| *tid != main).context("no second thread")?;
    thread::wait_blocked_in(tid, arch::PAUSE)?;

    cx.ready()?;

    let mut result = std::ptr::null_mut();
    // SAFETY: the thread is joinable and has not been joined.
    unsafe {
        expect_eq("pthread_cancel", libc::pthread_cancel(id), 0)?;
        expect_eq("pthread_join", libc::pthread_join(id, &mut result), 0)?;
    }
    // PTHREAD_CANCELED.
    expect_eq("result of the thread", result as isize, -1)
}
