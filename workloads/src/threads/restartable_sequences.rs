//! rseq(2): glibc registers an area for each thread and the kernel keeps the processor number in it
//! up to date. After a restart a thread that is moved to another processor must still see the new
//! number there.

use super::rseq;
use crate::framework::prelude::*;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

pub const WORKLOAD: Workload = Workload {
    purpose: "the rseq area of every thread, registered and served by the kernel",
    needs: &[Need::Dynamic],
    active: false,
    statik: false,
    run,
};

static GO: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let Some(offset) = rseq::offset()? else {
        return skip("the C library registers no rseq area");
    };
    let mut threads = Vec::new();
    for _ in 0..4 {
        threads.push(thread::spawn(move || {
            served(offset)?;
            GO.block_until(1);
            served(offset)
        })?);
    }
    served(offset)?;
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    served(offset)?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}

/// Moves the calling thread over all processors it may use; the area must follow.
fn served(offset: isize) -> Outcome {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this).context("sched_getaffinity")?;
    for cpu in (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false)) {
        let mut one = CpuSet::new();
        one.set(cpu)?;
        sched_setaffinity(this, &one).context("sched_setaffinity")?;
        expect_eq("cpu_id in the rseq area", rseq::cpu_id(offset), cpu as u32)?;
    }
    sched_setaffinity(this, &all).context("sched_setaffinity")
}
