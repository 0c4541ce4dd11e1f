//! setpriority(2) and sched_setscheduler(2) work on threads: other, batch, idle, round robin, each
//! with its own values.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "nice value and scheduling policy of each thread",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

static GO: Cell = Cell::new();

/// Policy, real-time priority, nice value.
const SETTINGS: [(i32, i32, i32); 5] = [
    (libc::SCHED_OTHER, 0, 7),
    (libc::SCHED_BATCH, 0, 3),
    (libc::SCHED_IDLE, 0, 19),
    (libc::SCHED_RR, 5, 0),
    (libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 2, 0),
];

fn run(cx: &mut Ctx) -> Outcome {
    if !permitted()? {
        return skip("real-time policies are not permitted here");
    }
    let mut threads = Vec::new();
    for (policy, priority, nice) in SETTINGS {
        threads.push(thread::spawn(move || {
            let tid = sys::gettid();
            let parameter = libc::sched_param { sched_priority: priority };
            // SAFETY: the parameter lives through the call.
            sys::check("sched_setscheduler", unsafe { libc::sched_setscheduler(0, policy, &parameter) })?;
            // SAFETY: no memory arguments.
            sys::check("setpriority", unsafe { libc::setpriority(libc::PRIO_PROCESS, tid as u32, nice) })?;
            GO.block_until(1);
            expect_eq("policy, priority, nice", settings()?, (policy, priority, nice))
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }
    let main = settings()?;

    cx.ready()?;

    expect_eq("settings of the main thread", settings()?, main)?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}

/// Of the calling thread.
fn settings() -> anyhow::Result<(i32, i32, i32)> {
    let mut parameter = libc::sched_param { sched_priority: -1 };
    // SAFETY: the parameter lives through the calls; errno is cleared because −1 is a nice value
    // too.
    unsafe {
        let policy = sys::check("sched_getscheduler", libc::sched_getscheduler(0))?;
        sys::check("sched_getparam", libc::sched_getparam(0, &mut parameter))?;
        *libc::__errno_location() = 0;
        let nice = libc::getpriority(libc::PRIO_PROCESS, sys::gettid() as u32);
        expect_eq("errno of getpriority", sys::errno(), 0)?;
        Ok((policy, parameter.sched_priority, nice))
    }
}

/// Whether a thread may have a real-time policy: tried in a child, without side effects.
fn permitted() -> anyhow::Result<bool> {
    let child = fork("probe", || {
        let parameter = libc::sched_param { sched_priority: 1 };
        // SAFETY: the parameter lives through the call.
        let rc = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &parameter) };
        // SAFETY: no preconditions.
        unsafe { libc::_exit(i32::from(rc != 0)) }
    })?;
    Ok(child.wait()? == 0)
}
