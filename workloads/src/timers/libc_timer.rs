//! A timer of libc that calls a function in a thread: libc's own helper thread and a timer that
//! notifies it.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "timer_create with SIGEV_THREAD: libc's helper thread keeps being told",
    needs: &[],
    active: true,
    statik: false,
    run,
};

static CALLS: AtomicU64 = AtomicU64::new(0);

extern "C" fn called(value: libc::sigval) {
    CALLS.fetch_add(value.sival_ptr as u64, SeqCst);
}

/// The start of sigevent, with the members for SIGEV_THREAD that the libc crate leaves out.
#[repr(C)]
struct Event {
    value: libc::sigval,
    signal: i32,
    notify: i32,
    function: extern "C" fn(libc::sigval),
    attributes: *mut libc::c_void,
    rest: [u64; 8],
}

fn run(cx: &mut Ctx) -> Outcome {
    let mut event = Event {
        value: libc::sigval { sival_ptr: std::ptr::without_provenance_mut(1) },
        signal: 0,
        notify: libc::SIGEV_THREAD,
        function: called,
        attributes: std::ptr::null_mut(),
        rest: [0; 8],
    };
    let (mut id, tick): (libc::timer_t, _) =
        (std::ptr::null_mut(), helpers::timespec(Duration::from_millis(10)));
    let spec = libc::itimerspec { it_value: tick, it_interval: tick };
    // SAFETY: `event` begins like a sigevent and is larger than one; id and spec live through the
    // calls.
    unsafe {
        let event = (&raw mut event).cast::<libc::sigevent>();
        sys::check("timer_create", libc::timer_create(libc::CLOCK_MONOTONIC, event, &mut id))?;
        sys::check("timer_settime", libc::timer_settime(id, 0, &spec, std::ptr::null_mut()))?;
    }
    let calls = |more| sync::wait_for_more("calls by the timer", &CALLS, more);
    calls(1)?;

    cx.ready()?;

    calls(3)?;
    // SAFETY: the timer is ours and is not used again.
    sys::check("timer_delete", unsafe { libc::timer_delete(id) })?;
    Ok(())
}
