//! A thread is in poll(2) and one in select(2) with a timeout: both need help to be restarted.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "poll and select with a time limit end by themselves, not too early",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let Some(calls) = CALLS else {
        return skip("the architecture has neither poll nor select, only ppoll and pselect6");
    };
    let mut threads = Vec::new();
    for (name, number) in calls {
        let wait = move || {
            let start = helpers::now(libc::CLOCK_MONOTONIC)?;
            let mut limit = libc::timeval { tv_sec: 0, tv_usec: helpers::SHORT.as_micros() as _ };
            // SAFETY: no descriptors and no sets; the kernel may write to the limit, which lives
            // through the call.
            let rc = unsafe {
                match name {
                    "poll" => libc::syscall(number, 0usize, 0usize, helpers::SHORT.as_millis() as i32),
                    _ => libc::syscall(number, 0usize, 0usize, 0usize, 0usize, &mut limit),
                }
            };
            expect_eq(&format!("result of {name}"), rc, 0)?;
            let waited = helpers::now(libc::CLOCK_MONOTONIC)?.saturating_sub(start);
            expect(waited >= helpers::SHORT, || format!("{name} of {:?} took {waited:?}", helpers::SHORT))
        };
        let thread = thread::spawn(wait)?;
        helpers::settle(&thread, number)?;
        threads.push(thread);
    }

    cx.ready()?;

    threads.into_iter().try_for_each(Thread::join)
}

/// Architectures added since arm64 have neither call.
#[cfg(not(target_arch = "aarch64"))]
const CALLS: Option<[(&str, libc::c_long); 2]> = match arch::SELECT {
    Some(select) => Some([("poll", arch::POLL), ("select", select)]),
    None => None,
};
#[cfg(target_arch = "aarch64")]
const CALLS: Option<[(&str, libc::c_long); 2]> = None;
