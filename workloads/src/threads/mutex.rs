//! pthread_mutex_lock(3) on a mutex that the main thread holds: eight threads wait in futex(2),
//! each gets in once.

use crate::framework::prelude::*;
use std::cell::UnsafeCell;

pub const WORKLOAD: Workload =
    Workload { purpose: "threads queueing for a locked mutex", needs: &[], active: false, statik: true, run };

struct Mutex(UnsafeCell<libc::pthread_mutex_t>);
// SAFETY: a pthread mutex is made to be used from several threads.
unsafe impl Sync for Mutex {}

static MUTEX: Mutex = Mutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
static INSIDE: Cell = Cell::new();
static ENTERED: Cell = Cell::new();

fn lock() -> Outcome {
    // SAFETY: the mutex is static and initialised.
    expect_eq("pthread_mutex_lock", unsafe { libc::pthread_mutex_lock(MUTEX.0.get()) }, 0)
}

fn unlock() -> Outcome {
    // SAFETY: the calling thread holds the mutex.
    expect_eq("pthread_mutex_unlock", unsafe { libc::pthread_mutex_unlock(MUTEX.0.get()) }, 0)
}

fn run(cx: &mut Ctx) -> Outcome {
    lock()?;
    let mut threads = Vec::new();
    for _ in 0..8 {
        threads.push(thread::spawn(|| {
            lock()?;
            expect_eq("threads inside", INSIDE.bump(), 1)?;
            std::thread::yield_now();
            ENTERED.bump();
            INSIDE.set(0);
            unlock()
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    // SAFETY: trying a lock that is held changes nothing.
    let tried = unsafe { libc::pthread_mutex_trylock(MUTEX.0.get()) };
    expect_eq("trylock of the held mutex", tried, libc::EBUSY)?;
    expect_eq("threads that got in early", ENTERED.get(), 0)?;
    unlock()?;
    threads.into_iter().try_for_each(Thread::join)?;
    expect_eq("threads that got in", ENTERED.get(), 8)
}
