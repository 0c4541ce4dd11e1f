//! sem_wait(3) in three threads; posts after the restart let exactly as many through.

use crate::framework::prelude::*;
use std::mem::MaybeUninit;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads waiting for a semaphore, some of it already taken",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static THROUGH: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let semaphore = Box::leak(Box::new(MaybeUninit::<libc::sem_t>::zeroed())).as_mut_ptr() as usize;
    // SAFETY: fresh memory that lives for ever.
    sys::check("sem_init", unsafe { libc::sem_init(semaphore as *mut _, 0, 1) })?;
    wait(semaphore)?;
    let mut threads = Vec::new();
    for _ in 0..3 {
        threads.push(thread::spawn(move || {
            wait(semaphore)?;
            THROUGH.bump();
            Ok(())
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    for count in 1..=3 {
        expect_eq("threads through", THROUGH.get(), count - 1)?;
        // SAFETY: initialised and never freed.
        sys::check("sem_post", unsafe { libc::sem_post(semaphore as *mut _) })?;
        THROUGH.wait("one thread to get through", count)?;
    }
    threads.into_iter().try_for_each(Thread::join)
}

fn wait(semaphore: usize) -> Outcome {
    // SAFETY: initialised and never freed.
    sys::check("sem_wait", unsafe { libc::sem_wait(semaphore as *mut _) })?;
    Ok(())
}
