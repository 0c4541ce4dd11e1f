//! A process has a fatal signal pending and blocked; unblocking it kills the process.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a blocked SIGTERM that ends the process once unblocked",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let child = stage.fork("the doomed process", |stage| {
        signal::default(libc::SIGTERM)?;
        signal::block(&[libc::SIGTERM])?;
        signal::kill(sys::getpid(), libc::SIGTERM)?;
        stage.hold();
        signal::unblock(&[libc::SIGTERM])?;
        Err(anyhow!("alive after SIGTERM was let through"))
    })?;

    cx.ready()?;

    stage.release();
    child.join_killed(libc::SIGTERM)
}
