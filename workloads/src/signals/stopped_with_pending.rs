//! Signals sent to a stopped process stay pending until it continues.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "signals pending for a stopped process, delivered when it continues",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static SUM: AtomicU64 = AtomicU64::new(0);

extern "C" fn add(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a whole siginfo to a handler with SA_SIGINFO.
    SUM.fetch_add(unsafe { &*info.cast::<signal::Info>() }.value() as u64, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = stage.fork("the stopped process", |stage| {
        signal::handle(38, add, libc::SA_RESTART, &[])?;
        signal::handle(libc::SIGUSR1, add, libc::SA_RESTART, &[])?;
        stage.hold();
        expect_eq("sum of the values", SUM.load(SeqCst), 1_000 + 200 + 30 + 4u64)
    })?;
    child.kill(libc::SIGSTOP)?;
    child.wait_stopped()?;
    for value in [1_000, 200, 30] {
        signal::queue(child.pid, 38, value)?;
    }
    signal::queue(child.pid, libc::SIGUSR1, 4)?;

    cx.ready()?;

    expect_eq("state", procfs::Stat::of(child.pid)?.state, 'T')?;
    let pending = procfs::bits(child.pid, "ShdPnd")?;
    expect_eq("ShdPnd", pending, signal::bits(&[38, libc::SIGUSR1]))?;
    child.kill(libc::SIGCONT)?;
    sync::wait_until("the signals to be delivered", || Ok(procfs::bits(child.pid, "ShdPnd")? == 0))?;
    stage.release();
    child.join()
}
