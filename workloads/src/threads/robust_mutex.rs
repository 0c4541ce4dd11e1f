//! The kernel walks a thread's robust list when it exits: the next locker must get EOWNERDEAD.
//! Once between threads, once between processes.

use crate::framework::prelude::*;
use std::mem::MaybeUninit;

pub const WORKLOAD: Workload = Workload {
    purpose: "a robust mutex whose holder ends after the restart",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let memory = Mapping::shared(page_size())?;
    let shared = Shared::new()?;
    let (first, second) = (memory.start(), memory.start() + 512);
    init(first)?;
    init(second)?;
    static END: Cell = Cell::new();
    let thread = thread::spawn(move || {
        lock(first, 0)?;
        END.block_until(1);
        Ok(())
    })?;
    thread.wait_blocked_in(libc::SYS_futex)?;
    let child = fork("holder", || {
        lock(second, 0)?;
        shared.cell(0).block_until(1);
        Ok(())
    })?;
    child.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    for mutex in [first, second] {
        // SAFETY: initialised robust mutexes in memory that is still mapped.
        expect_eq("trylock", unsafe { libc::pthread_mutex_trylock(mutex as *mut _) }, libc::EBUSY)?;
    }
    END.set(1);
    thread.join()?;
    lock(first, libc::EOWNERDEAD)?;
    shared.cell(0).set(1);
    child.join()?;
    lock(second, libc::EOWNERDEAD)?;
    for mutex in [first, second] {
        // SAFETY: this thread holds both.
        unsafe {
            expect_eq("mutex_consistent", libc::pthread_mutex_consistent(mutex as *mut _), 0)?;
            expect_eq("unlock", libc::pthread_mutex_unlock(mutex as *mut _), 0)?;
        }
    }
    Ok(())
}

/// Makes a robust mutex for several processes at `at`.
fn init(at: usize) -> Outcome {
    // SAFETY: the attribute is initialised before it is used; `at` is inside of our shared page,
    // aligned, unused.
    unsafe {
        let mut attr = MaybeUninit::zeroed();
        expect_eq("mutexattr_init", libc::pthread_mutexattr_init(attr.as_mut_ptr()), 0)?;
        let rc = libc::pthread_mutexattr_setrobust(attr.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
        expect_eq("mutexattr_setrobust", rc, 0)?;
        let rc = libc::pthread_mutexattr_setpshared(attr.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
        expect_eq("mutexattr_setpshared", rc, 0)?;
        expect_eq("mutex_init", libc::pthread_mutex_init(at as *mut _, attr.as_ptr()), 0)
    }
}

/// Locks with the expected result. The unlock may never come, intentionally.
fn lock(at: usize, want: i32) -> Outcome {
    // SAFETY: an initialised mutex in memory that stays mapped.
    expect_eq("lock", unsafe { libc::pthread_mutex_lock(at as *mut _) }, want)
}
