//! Critical sections: no callback runs in any thread while one is in one.

use crate::codes::{STATE_ACTIVE, STATE_PENDING};
use crate::process;
use crate::sections;
use crate::sys;
use crate::thread::{self, Thread};
use std::sync::atomic::Ordering;

/// Enters one; false where that would have to wait, and may not.
pub fn enter(thread: &'static Thread, may_wait: bool) -> bool {
    if thread.state.load(Ordering::Acquire) == STATE_ACTIVE {
        return true;
    }
    // From here on a request that comes waits until it is left.
    let outer = thread.sections.fetch_add(1, Ordering::AcqRel);
    if outer > 0 {
        sections::enter();
        return true;
    }
    loop {
        if !process::is_busy() {
            sections::enter();
            if !process::is_busy() {
                return true;
            }
            sections::leave();
        }
        thread.sections.fetch_sub(1, Ordering::AcqRel);
        run_pending(thread);
        if !may_wait {
            return false;
        }
        process::await_end();
        thread.sections.fetch_add(1, Ordering::AcqRel);
    }
}

/// Leaves one.
pub fn leave(thread: &'static Thread) {
    if thread.state.load(Ordering::Acquire) == STATE_ACTIVE {
        return;
    }
    sections::leave();
    if thread.sections.fetch_sub(1, Ordering::AcqRel) == 1 {
        run_pending(thread);
    }
}

/// Does something in a critical section, also in a thread that has not called cr_init(). Not for a
/// signal handler.
pub fn atomically<T>(work: impl FnOnce() -> T) -> T {
    if let Some(thread) = thread::own() {
        enter(thread, true);
        let done = work();
        leave(thread);
        return done;
    }
    sys::with_signal_blocked(|| {
        loop {
            sections::enter();
            if !process::is_busy() {
                break;
            }
            sections::leave();
            process::await_end();
        }
        let done = work();
        sections::leave();
        done
    })
}

/// Takes part in a request that has come meanwhile.
fn run_pending(thread: &'static Thread) {
    if thread.state.load(Ordering::Acquire) == STATE_PENDING {
        process::run(thread);
    }
}
