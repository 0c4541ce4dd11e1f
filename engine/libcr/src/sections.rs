//! How many critical sections all threads are in.

use crate::sys;
use std::sync::atomic::{AtomicU32, Ordering};

static INSIDE: AtomicU32 = AtomicU32::new(0);

/// One more.
pub fn enter() {
    INSIDE.fetch_add(1, Ordering::AcqRel);
}

/// One less.
pub fn leave() {
    if INSIDE.fetch_sub(1, Ordering::AcqRel) == 1 {
        sys::futex_wake(&INSIDE);
    }
}

/// Waits until there is none; false if there is no reason to wait any more.
pub fn await_none(is_cancelled: impl Fn() -> bool) -> bool {
    loop {
        let count = INSIDE.load(Ordering::Acquire);
        if count == 0 {
            return true;
        }
        if !sys::futex_wait(&INSIDE, count) && is_cancelled() {
            return false;
        }
    }
}

/// In a child: those of other threads are nobody's.
pub fn forked(own: u32) {
    INSIDE.store(own, Ordering::Release);
}
