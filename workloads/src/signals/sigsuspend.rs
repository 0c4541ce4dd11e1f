//! A process waits in sigsuspend with a temporary mask.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "a process blocked in sigsuspend: the mask of the wait and the one that comes back",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static RAN: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    RAN.store(number, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let usual = signal::bits(&[libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM]);
    let within = signal::bits(&[libc::SIGUSR2, libc::SIGHUP]);
    let child = fork("the waiting process", || {
        signal::handle(libc::SIGUSR1, note, 0, &[])?;
        signal::handle(libc::SIGUSR2, note, 0, &[])?;
        signal::set_mask(usual)?;
        let rc = {
            // SAFETY: the kernel reads the eight bytes of the mask.
            unsafe { libc::syscall(libc::SYS_rt_sigsuspend, &within, 8) }
        };
        expect_eq("errno of sigsuspend", sys::errno_of(rc), Some(libc::EINTR))?;
        expect_eq("signal that ended it", RAN.load(SeqCst), libc::SIGUSR1)?;
        expect_eq("mask afterwards", signal::mask()?, usual)?;
        expect_eq("still pending", signal::pending()?, signal::bit(libc::SIGUSR2))
    })?;
    stage.wait_in(&child, libc::SYS_rt_sigsuspend)?;

    cx.ready()?;

    let blocked = procfs::bits(child.pid, "SigBlk")?;
    expect_eq("mask of the wait", blocked, within)?;
    child.kill(libc::SIGUSR2)?;
    child.kill(libc::SIGUSR1)?;
    child.join()
}
