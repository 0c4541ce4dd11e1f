//! The vdso: function pointers into it stay valid, and return the same time as the system calls.

use super::vdso_symbols::Vdso;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "calls into the vdso through pointers taken before",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let vdso = Vdso::find()?;
    let clock = vdso.clock_gettime()?;
    let coarse_before = clock(libc::CLOCK_MONOTONIC)?;
    let getcpu = vdso.getcpu();

    cx.ready()?;

    for id in
        [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME, libc::CLOCK_BOOTTIME, libc::CLOCK_MONOTONIC_COARSE]
    {
        let early = clock(libc::CLOCK_MONOTONIC)?;
        let (fast, slow) = (clock(id)?, by_system_call(id)?);
        let late = clock(libc::CLOCK_MONOTONIC)?;
        // The two calls were made between `early` and `late`; coarse clocks lag by up to a tick of
        // 10 ms.
        let slack = (late - early) + 20_000_000;
        expect((slow - fast).abs() <= slack, || {
            format!("clock {id}: vdso {fast} ns, system call {slow} ns")
        })?;
    }
    expect(clock(libc::CLOCK_MONOTONIC)? >= coarse_before, || "the monotonic clock went back".into())?;
    if let Some(getcpu) = getcpu {
        let mut cpu = u32::MAX;
        expect_eq("getcpu", getcpu(&mut cpu), 0)?;
        expect((cpu as i64) < configured_cpus(), || format!("getcpu says {cpu}"))?;
    }
    let header = Vdso::find()?;
    expect_eq("AT_SYSINFO_EHDR", header.base(), vdso.base())?;
    let vma = procfs::vma_at(vdso.base())?;
    expect_eq("name of the mapping", vma.name.as_str(), "[vdso]")
}

/// Nanoseconds.
fn by_system_call(id: libc::clockid_t) -> anyhow::Result<i64> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` lives through the call.
    sys::check("clock_gettime", unsafe { libc::syscall(libc::SYS_clock_gettime, id, &mut now) })?;
    Ok(now.tv_sec * 1_000_000_000 + now.tv_nsec)
}

fn configured_cpus() -> i64 {
    // SAFETY: sysconf has no preconditions.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) }
}
