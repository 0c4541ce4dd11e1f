//! std's barrier is a counter, a mutex and a condition variable; pthread's is a futex of its own:
//! that one is used.

use crate::framework::prelude::*;
use std::mem::MaybeUninit;

pub const WORKLOAD: Workload = Workload {
    purpose: "a barrier at which all but one have arrived",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static LEADERS: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let barrier = Box::leak(Box::new(MaybeUninit::<libc::pthread_barrier_t>::zeroed())).as_mut_ptr() as usize;
    // SAFETY: fresh memory that lives for ever; no attributes.
    let rc = unsafe { libc::pthread_barrier_init(barrier as *mut _, std::ptr::null(), 5) };
    expect_eq("pthread_barrier_init", rc, 0)?;
    let mut threads = Vec::new();
    for _ in 0..4 {
        threads.push(thread::spawn(move || arrive(barrier))?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    expect_eq("threads past the barrier", LEADERS.get(), 0)?;
    arrive(barrier)?;
    threads.into_iter().try_for_each(Thread::join)?;
    expect_eq("threads that were told to be the last", LEADERS.get(), 1)
}

fn arrive(barrier: usize) -> Outcome {
    // SAFETY: the barrier is initialised and never freed.
    match unsafe { libc::pthread_barrier_wait(barrier as *mut _) } {
        libc::PTHREAD_BARRIER_SERIAL_THREAD => {
            LEADERS.bump();
            Ok(())
        }
        rc => expect_eq("pthread_barrier_wait", rc, 0),
    }
}
