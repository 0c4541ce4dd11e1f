//! The connections of requests that this process waits for.

use libc::c_int;
use std::sync::atomic::{AtomicI32, Ordering};

/// How many there may be at a time.
pub const REQUESTS: usize = 32;

/// -1 for none.
static CONNECTIONS: [AtomicI32; REQUESTS] = [const { AtomicI32::new(-1) }; REQUESTS];

/// All of them. May be called in a signal handler.
pub fn all() -> impl Iterator<Item = c_int> {
    CONNECTIONS.iter().map(|place| place.load(Ordering::Acquire)).filter(|fd| *fd >= 0)
}

fn replace(old: c_int, new: c_int) -> bool {
    let take =
        |place: &AtomicI32| place.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    CONNECTIONS.iter().any(take)
}

/// Adds one; false if there are too many.
pub fn add(fd: c_int) -> bool {
    replace(-1, fd)
}

/// Removes one, if it was added.
pub fn remove(fd: c_int) {
    replace(fd, -1);
}
