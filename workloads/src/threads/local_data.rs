//! Data addressed through the thread pointer.

use crate::framework::prelude::*;
use std::cell::Cell as Local;

pub const WORKLOAD: Workload = Workload {
    purpose: "thread-local variables, pthread keys and errno of sixteen threads",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static GO: Cell = Cell::new();

thread_local! {
    static NUMBER: Local<u64> = const { Local::new(0) };
    static TABLE: Local<[u64; 64]> = const { Local::new([0; 64]) };
    static BOXED: Local<Option<Box<u64>>> = const { Local::new(None) };
}

fn run(cx: &mut Ctx) -> Outcome {
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: `key` lives through the call; no destructor.
    expect_eq("pthread_key_create", unsafe { libc::pthread_key_create(&mut key, None) }, 0)?;
    let seed = cx.seed;
    let mut threads = Vec::new();
    for number in 0..16 {
        threads.push(thread::spawn(move || {
            let mut rng = Rng::new(seed + number);
            let (first, table, third) = (rng.word(), [rng.word(); 64], rng.word());
            NUMBER.set(first);
            TABLE.set(table);
            BOXED.set(Some(Box::new(third)));
            let value = (number + 1) as usize as *mut libc::c_void;
            // SAFETY: the key exists; the value is never followed.
            expect_eq("pthread_setspecific", unsafe { libc::pthread_setspecific(key, value) }, 0)?;
            // SAFETY: errno's location is valid for the thread's life.
            unsafe { *libc::__errno_location() = 1000 + number as i32 };
            // Waiting changes errno only when futex(2) itself fails, with one of the two values
            // allowed below.
            GO.block_until(1);
            let errno = sys::errno();
            expect(errno == 1000 + number as i32 || errno == libc::EINTR || errno == libc::EAGAIN, || {
                format!("errno of thread {number} is {errno}")
            })?;
            expect_eq("number", NUMBER.get(), first)?;
            expect_eq("table", TABLE.get(), table)?;
            expect_eq("boxed", BOXED.take().as_deref(), Some(&third))?;
            // SAFETY: the key exists.
            expect_eq("pthread_getspecific", unsafe { libc::pthread_getspecific(key) }, value)
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}
