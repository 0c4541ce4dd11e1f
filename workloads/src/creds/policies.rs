//! Processes with every normal and real-time scheduling policy, one of which children do not
//! inherit.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "scheduling policy, priority and reset-on-fork of each process",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn get() -> anyhow::Result<(i32, i32)> {
    // SAFETY: plain data, which the call fills.
    let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: the parameter lives through the calls.
    unsafe {
        let policy = sys::check("sched_getscheduler", libc::sched_getscheduler(0))?;
        sys::check("sched_getparam", libc::sched_getparam(0, &mut parameter))?;
        Ok((policy, parameter.sched_priority))
    }
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let cases = [
        (libc::SCHED_BATCH, 0),
        (libc::SCHED_IDLE, 0),
        (libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK, 0),
        (libc::SCHED_FIFO, 1),
        (libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, 33),
    ];
    let mut children = Vec::new();
    for (policy, priority) in cases {
        // SAFETY: plain data.
        let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
        parameter.sched_priority = priority;
        let child = stage.fork("a process with a policy", |stage| {
            // SAFETY: the parameter lives through the call.
            match sys::errno_of(unsafe { libc::sched_setscheduler(0, policy, &parameter) }) {
                None => {}
                // Some systems allow no real-time runtime at all.
                Some(libc::EPERM) if priority != 0 => {}
                Some(errno) => bail!("sched_setscheduler: {}", std::io::Error::from_raw_os_error(errno)),
            }
            let want = get()?;
            stage.hold();
            expect_eq(&format!("policy and priority ({policy:#x}, {priority})"), get()?, want)
        })?;
        children.push(child);
    }

    cx.ready()?;

    stage.release();
    children.into_iter().try_for_each(Child::join)
}
