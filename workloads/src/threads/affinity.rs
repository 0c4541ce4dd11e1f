//! sched_setaffinity(2), by thread.

use crate::framework::prelude::*;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

pub const WORKLOAD: Workload = Workload {
    purpose: "which processors each thread may use",
    needs: &[Need::Smp],
    active: false,
    statik: false,
    run,
};

static GO: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let all = sched_getaffinity(Pid::from_raw(0)).context("sched_getaffinity")?;
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false)).collect();
    if cpus.len() < 2 {
        return skip("only one processor may be used");
    }
    let mut threads = Vec::new();
    for cpu in [cpus[0], cpus[1]] {
        threads.push(thread::spawn(move || {
            let mut one = CpuSet::new();
            one.set(cpu)?;
            sched_setaffinity(Pid::from_raw(0), &one).context("sched_setaffinity")?;
            GO.block_until(1);
            expect_eq("affinity", sched_getaffinity(Pid::from_raw(0))?, one)
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    expect_eq("affinity of the main thread", sched_getaffinity(Pid::from_raw(0))?, all)?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}
