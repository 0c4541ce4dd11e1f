//! Processes that may run on one processor only, or on all.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the set of processors of each process",
    needs: &[Need::Smp],
    active: false,
    statik: false,
    run,
};

fn get() -> anyhow::Result<Vec<u8>> {
    let mut mask = vec![0u8; 1024];
    // SAFETY: the buffer has as many bytes as specified.
    let len = sys::check("sched_getaffinity", unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, 0, mask.len(), mask.as_mut_ptr())
    })?;
    mask.truncate(len as usize);
    Ok(mask)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let whole = get()?;
    let allowed: Vec<usize> = (0..whole.len() * 8).filter(|n| whole[n / 8] >> (n % 8) & 1 == 1).collect();
    let mut children = Vec::new();
    for processor in allowed.into_iter().take(4) {
        children.push(stage.fork("a process on one processor", |stage| {
            let mut one = vec![0u8; whole.len()];
            one[processor / 8] = 1 << (processor % 8);
            // SAFETY: the kernel reads as many bytes as specified.
            sys::check("sched_setaffinity", unsafe {
                libc::syscall(libc::SYS_sched_setaffinity, 0, one.len(), one.as_ptr())
            })?;
            stage.hold();
            expect_eq("processors", get()?, one)?;
            // SAFETY: takes no memory.
            expect_eq("running on", unsafe { libc::sched_getcpu() }, processor as i32)
        })?);
    }

    cx.ready()?;

    expect_eq("processors of the root", get()?, whole.clone())?;
    stage.release();
    children.into_iter().try_for_each(Child::join)
}
