//! A read that a handler interrupts after the restart is restarted, because of SA_RESTART.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "a blocked read, interrupted afterwards, with SA_RESTART and without",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static RUNS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    RUNS.fetch_add(1, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (reader, writer) = fd::pipe(0)?;
    let child = fork("the reader", || {
        signal::handle(libc::SIGUSR1, count, libc::SA_RESTART, &[])?;
        signal::handle(libc::SIGUSR2, count, 0, &[])?;
        let errno = fd::errno("first read", fd::read_some(&reader, 16))?;
        expect_eq("errno of the first read", errno, libc::EINTR)?;
        expect_eq("handlers run", RUNS.load(SeqCst), 4u64)?;
        stage.shared().cell(1).set(1);
        expect_bytes("second read", &fd::read_some(&reader, 16)?, b"after")
    })?;
    stage.wait_in(&child, libc::SYS_read)?;

    cx.ready()?;

    for run in 0..3 {
        child.kill(libc::SIGUSR1)?;
        sync::wait_until("the handler to run", || Ok(procfs::bits(child.pid, "ShdPnd")? == 0))?;
        stage.wait_in(&child, libc::SYS_read).with_context(|| format!("after handler {run}"))?;
    }
    child.kill(libc::SIGUSR2)?;
    stage.shared().cell(1).wait("the read to be interrupted", 1)?;
    fd::write_all(&writer, b"after")?;
    child.join()
}
