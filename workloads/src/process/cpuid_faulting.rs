//! arch_prctl(ARCH_SET_CPUID, 0): the CPUID instruction faults, in this thread.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread whose CPUID instruction faults, beside one whose does not",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// arch/x86/include/uapi/asm/prctl.h
const ARCH_GET_CPUID: i32 = 0x1011;
const ARCH_SET_CPUID: i32 = 0x1012;

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    // Tried in a child: code before `ready` may execute CPUID.
    let able = fork("a trial", || match arch_prctl(ARCH_SET_CPUID, 0) {
        Err(error) if sys::errno_in(&error) == Some(libc::ENODEV) => child::exit(1),
        other => other.map(drop),
    })?;
    if able.wait()? != 0 {
        return skip("CPUID does not fault on this processor");
    }
    let other = thread::spawn(|| {
        arch_prctl(ARCH_SET_CPUID, 0)?;
        GO.block_until(1);
        expect_eq("ARCH_GET_CPUID of the second thread", arch_prctl(ARCH_GET_CPUID, 0)?, 0)?;
        faults()
    })?;
    other.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    expect_eq("ARCH_GET_CPUID of the main thread", arch_prctl(ARCH_GET_CPUID, 0)?, 1)?;
    GO.set(1);
    other.join()
}

/// A child, which inherits the setting from the calling thread, is killed by the instruction.
fn faults() -> Outcome {
    let child = fork("the asking child", || {
        child::without_core()?;
        signal::default(libc::SIGSEGV)?;
        std::hint::black_box(std::arch::x86_64::__cpuid(0));
        Ok(())
    })?;
    child.join_killed(libc::SIGSEGV)
}

fn arch_prctl(option: i32, number: libc::c_ulong) -> anyhow::Result<i64> {
    // SAFETY: these options take a number.
    sys::check("arch_prctl", unsafe { libc::syscall(libc::SYS_arch_prctl, option, number) })
}
