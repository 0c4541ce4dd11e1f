//! prctl(2) settings that a thread inherits and does not share with others: PR_MCE_KILL, and
//! PR_SET_TSC where it exists.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "what memory failures do to a thread, and whether it may read the time stamp counter, in threads that differ",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let has_tsc = cfg!(target_arch = "x86_64");
    let hold = |policy: i32, tsc: i32| {
        thread::spawn(move || {
            set_policy(policy)?;
            if has_tsc {
                set_tsc(tsc)?;
            }
            GO.block_until(1);
            expect_eq("policy of memory failures", get_policy()?, policy)?;
            if has_tsc {
                expect_eq("access to the time stamp counter", get_tsc()?, tsc)?;
                // Later code may read a clock.
                set_tsc(libc::PR_TSC_ENABLE)?;
            }
            Ok(())
        })
    };
    let threads = [
        hold(libc::PR_MCE_KILL_EARLY, libc::PR_TSC_SIGSEGV)?,
        hold(libc::PR_MCE_KILL_LATE, libc::PR_TSC_ENABLE)?,
        hold(libc::PR_MCE_KILL_DEFAULT, libc::PR_TSC_SIGSEGV)?,
    ];
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }
    set_policy(libc::PR_MCE_KILL_LATE)?;

    cx.ready()?;

    expect_eq("policy of the main thread", get_policy()?, libc::PR_MCE_KILL_LATE)?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}

fn set_policy(policy: i32) -> Outcome {
    let arguments = (libc::PR_MCE_KILL, libc::PR_MCE_KILL_SET as libc::c_ulong, policy as libc::c_ulong);
    // SAFETY: no memory arguments.
    let done =
        unsafe { libc::prctl(arguments.0, arguments.1, arguments.2, 0 as libc::c_ulong, 0 as libc::c_ulong) };
    sys::check("prctl(PR_MCE_KILL)", done)?;
    Ok(())
}

fn get_policy() -> anyhow::Result<i32> {
    let none: libc::c_ulong = 0;
    // SAFETY: no memory arguments.
    sys::check("prctl(PR_MCE_KILL_GET)", unsafe {
        libc::prctl(libc::PR_MCE_KILL_GET, none, none, none, none)
    })
}

fn set_tsc(access: i32) -> Outcome {
    // SAFETY: no memory arguments.
    sys::check("prctl(PR_SET_TSC)", unsafe { libc::prctl(libc::PR_SET_TSC, access) })?;
    Ok(())
}

fn get_tsc() -> anyhow::Result<i32> {
    let mut access = -1;
    // SAFETY: `access` lives through the call.
    sys::check("prctl(PR_GET_TSC)", unsafe { libc::prctl(libc::PR_GET_TSC, &mut access) })?;
    Ok(access)
}
