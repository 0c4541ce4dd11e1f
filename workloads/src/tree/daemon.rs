//! The usual way to become a daemon: fork, setsid, fork again, exit in between.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a daemon made by a double fork: session without leader, adopted by the root",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    helpers::become_subreaper()?;
    let first = fork("the first child", || {
        helpers::new_session()?;
        let daemon = fork("the daemon", || {
            std::env::set_current_dir("/").context("chdir")?;
            for number in 0..3 {
                // SAFETY: the standard descriptors of this process are not used again.
                unsafe { libc::close(number) };
            }
            stage.hold();
            expect_eq("current directory", std::env::current_dir()?.as_os_str(), "/")?;
            expect((0..3).all(|n| !fd::is_open(n)), || "a standard descriptor is open".into())?;
            helpers::exit(31)
        })?;
        stage.shared().cell(1).set(daemon.pid.cast_unsigned());
        Ok(())
    })?;
    let session = first.pid;
    first.join()?;
    let daemon = helpers::known("the daemon", stage.shared().cell(1).get().cast_signed());
    stage.wait_held(&daemon)?;

    cx.ready()?;

    let want = (sys::getpid(), session, session);
    expect_eq("family of the daemon", helpers::family(daemon.pid)?, want)?;
    stage.release();
    daemon.join_as(31)
}
