//! A broadcast after the restart reaches every waiter; a wait with a timeout in the past still
//! ends.

use crate::framework::prelude::*;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads waiting for a condition variable",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static STATE: Mutex<(bool, u32)> = Mutex::new((false, 0));
static CHANGED: Condvar = Condvar::new();

fn run(cx: &mut Ctx) -> Outcome {
    let mut threads = Vec::new();
    for _ in 0..6 {
        threads.push(thread::spawn(|| {
            let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
            while !state.0 {
                state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.1 += 1;
            Ok(())
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    expect_eq("threads that woke early", state.1, 0)?;
    state.0 = true;
    drop(state);
    CHANGED.notify_all();
    threads.into_iter().try_for_each(Thread::join)?;
    let state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    expect_eq("threads that woke", state.1, 6)?;
    let late = CHANGED.wait_timeout(state, Duration::from_millis(1)).unwrap_or_else(PoisonError::into_inner);
    expect(late.1.timed_out(), || "a wait with a timeout did not time out".into())
}
