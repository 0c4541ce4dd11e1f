//! The kernel itself knows the owner of a PTHREAD_PRIO_INHERIT mutex while others wait for it: the
//! futex word holds its thread id.

use crate::framework::prelude::*;
use std::mem::MaybeUninit;

pub const WORKLOAD: Workload = Workload {
    purpose: "a held mutex with priority inheritance and its queue",
    needs: &[],
    active: false,
    statik: false,
    run,
};

struct Mutex(*mut libc::pthread_mutex_t);
// SAFETY: a pthread mutex is made to be used from several threads; the pointee is leaked.
unsafe impl Send for Mutex {}

static ENTERED: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let mutex: *mut libc::pthread_mutex_t = Box::leak(Box::new(MaybeUninit::zeroed())).as_mut_ptr();
    // SAFETY: the attribute is initialised before it is used, the mutex memory is ours and lives
    // for ever.
    unsafe {
        let mut attr = MaybeUninit::zeroed();
        expect_eq("mutexattr_init", libc::pthread_mutexattr_init(attr.as_mut_ptr()), 0)?;
        let rc = libc::pthread_mutexattr_setprotocol(attr.as_mut_ptr(), libc::PTHREAD_PRIO_INHERIT);
        expect_eq("mutexattr_setprotocol", rc, 0)?;
        match libc::pthread_mutex_init(mutex, attr.as_ptr()) {
            libc::ENOTSUP => return skip("the kernel has no priority inheritance futexes"),
            rc => expect_eq("mutex_init", rc, 0)?,
        }
        expect_eq("lock", libc::pthread_mutex_lock(mutex), 0)?;
    }
    let mut threads = Vec::new();
    for _ in 0..3 {
        let mutex = Mutex(mutex);
        threads.push(thread::spawn(move || {
            let mutex = { mutex }.0;
            // SAFETY: initialised above, never freed.
            expect_eq("lock in a thread", unsafe { libc::pthread_mutex_lock(mutex) }, 0)?;
            ENTERED.bump();
            // SAFETY: held by this thread.
            expect_eq("unlock in a thread", unsafe { libc::pthread_mutex_unlock(mutex) }, 0)
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    expect_eq("threads that got in early", ENTERED.get(), 0)?;
    // SAFETY: held by this thread since before.
    expect_eq("unlock", unsafe { libc::pthread_mutex_unlock(mutex) }, 0)?;
    threads.into_iter().try_for_each(Thread::join)?;
    expect_eq("threads that got in", ENTERED.get(), 3)
}
