//! A thread is in poll(2) and one in select(2) with a time limit, the calls whose restart needs help.

use super::kit;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    name: "plain-poll",
    group: "timers",
    purpose: "poll and select with a time limit end by themselves, not too early",
    needs: &[],
    moving: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut threads = Vec::new();
    for (name, number) in CALLS {
        let wait = move || {
            let start = kit::now(libc::CLOCK_MONOTONIC)?;
            let mut limit = libc::timeval { tv_sec: 0, tv_usec: kit::SHORT.as_micros() as _ };
            // SAFETY: no descriptors and no sets; the kernel may write to the limit, which lives through the call.
            let rc = unsafe {
                match name {
                    "poll" => libc::syscall(number, 0usize, 0usize, kit::SHORT.as_millis() as i32),
                    _ => libc::syscall(number, 0usize, 0usize, 0usize, 0usize, &mut limit),
                }
            };
            expect_eq(&format!("result of {name}"), rc, 0)?;
            let waited = kit::now(libc::CLOCK_MONOTONIC)?.saturating_sub(start);
            expect(waited >= kit::SHORT, || format!("{name} of {:?} took {waited:?}", kit::SHORT))
        };
        let thread = thread::spawn(wait)?;
        kit::settle(&thread, number)?;
        threads.push(thread);
    }

    cx.ready()?;

    threads.into_iter().try_for_each(Thread::join)
}

#[cfg(target_arch = "x86_64")]
const CALLS: [(&str, libc::c_long); 2] = [("poll", libc::SYS_poll), ("select", libc::SYS_select)];
/// Newer architectures have neither call.
#[cfg(not(target_arch = "x86_64"))]
const CALLS: [(&str, libc::c_long); 0] = [];
