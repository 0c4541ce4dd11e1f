//! sched_setattr(2) with SCHED_FLAG_UTIL_CLAMP_MIN and MAX: bounds of the processor's speed
//! while a thread runs.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "clamps of utilisation that differ between threads",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static GO: Cell = Cell::new();

/// `struct sched_attr` of include/uapi/linux/sched/types.h.
#[derive(Default)]
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    deadline: [u64; 3],
    util_min: u32,
    util_max: u32,
}

fn run(cx: &mut Ctx) -> Outcome {
    let usual = get()?;
    if !set((100, 900))? {
        return skip("this kernel clamps no utilisation");
    }
    let mut threads = Vec::new();
    for clamps in [(0, 512), (300, 1024), (400, 400)] {
        threads.push(thread::spawn(move || {
            set(clamps)?;
            GO.block_until(1);
            expect_eq("clamps of a thread", get()?, clamps)
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    expect_eq("clamps of the main thread", get()?, (100, 900))?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)?;
    set(usual)?;
    expect_eq("clamps that were set afterwards", get()?, usual)
}

/// Sets the lower and the upper clamp of the calling thread, if the kernel supports it
/// (`CONFIG_UCLAMP_TASK`).
fn set((util_min, util_max): (u32, u32)) -> anyhow::Result<bool> {
    // SCHED_FLAG_KEEP_POLICY, KEEP_PARAMS, UTIL_CLAMP_MIN, UTIL_CLAMP_MAX
    const FLAGS: u64 = 0x08 | 0x10 | 0x20 | 0x40;
    let size = size_of::<Attributes>() as u32;
    let attributes = Attributes { size, flags: FLAGS, util_min, util_max, ..Attributes::default() };
    // SAFETY: the structure lives through the call and carries its size.
    let rc = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &attributes, 0) };
    match sys::errno_of(rc as i32) {
        Some(libc::EOPNOTSUPP | libc::EPERM) => Ok(false),
        _ => sys::check("sched_setattr", rc as i32).map(|_| true),
    }
}

/// Those of the calling thread.
fn get() -> anyhow::Result<(u32, u32)> {
    let mut attributes = Attributes::default();
    // SAFETY: the structure lives through the call, whose size is given.
    let rc =
        unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &mut attributes, size_of::<Attributes>(), 0) };
    sys::check("sched_getattr", rc as i32)?;
    Ok((attributes.util_min, attributes.util_max))
}
