//! A child exits after the restart; the handler for SIGCHLD gets its pid and status.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "SIGCHLD with the right siginfo for children that end or stop afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static SEEN: AtomicU64 = AtomicU64::new(0);

extern "C" fn note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a whole siginfo to a handler with SA_SIGINFO.
    let info = unsafe { &*info.cast::<signal::Info>() };
    SEEN.store((info.pid() as u64) << 32 | (info.code() as u64) << 16 | info.status() as u64, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    signal::handle(libc::SIGCHLD, note, libc::SA_RESTART, &[])?;
    let child = stage.fork("the child", |stage| {
        stage.hold();
        helpers::exit(66)
    })?;

    cx.ready()?;

    let saw = |what: &str, code: i32, status: i32| {
        let want = (child.pid as u64) << 32 | (code as u64) << 16 | status as u64;
        sync::wait_until(what, || Ok(SEEN.load(SeqCst) == want))
            .with_context(|| format!("seen pid, code, status: {:#x}, want {want:#x}", SEEN.load(SeqCst)))
    };
    child.kill(libc::SIGSTOP)?;
    saw("SIGCHLD for the stop", libc::CLD_STOPPED, libc::SIGSTOP)?;
    child.kill(libc::SIGCONT)?;
    saw("SIGCHLD for going on", libc::CLD_CONTINUED, libc::SIGCONT)?;
    stage.release();
    saw("SIGCHLD for the end", libc::CLD_EXITED, 66)?;
    child.join_as(66)
}
