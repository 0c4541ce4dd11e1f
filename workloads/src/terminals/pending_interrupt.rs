//! ^C was typed, and the job in the foreground blocks that signal.

use super::helpers::{self, Pty};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a signal from the keyboard that is pending",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, pty) = (Stage::new()?, Pty::new()?);
    let leader = stage.fork("the leader", |stage| {
        signal::block(&[libc::SIGINT, libc::SIGQUIT])?;
        helpers::begin_session(&pty.slave)?;
        fd::write_all(&pty.master, b"lost\x03")?;
        sync::wait_until("the signal", || Ok(signal::pending()? & signal::bit(libc::SIGINT) != 0))?;
        stage.hold();
        let info = signal::take(&[libc::SIGINT])?.context("no signal is pending")?;
        // From the kernel: nobody's, with the code of `isig` in drivers/tty/n_tty.c.
        expect_eq("who", (info.signal(), info.pid()), (libc::SIGINT, 0))?;
        expect(signal::take(&[libc::SIGINT])?.is_none(), || "there is another".into())?;
        fd::write_all(&pty.master, b"\x1c")?;
        expect_eq("the next", signal::take_soon(&[libc::SIGQUIT])?.signal(), libc::SIGQUIT)
    })?;

    cx.ready()?;

    // What was typed before is gone (`NOFLSH` is not set).
    expect_eq("input", fd::ready_for(&pty.slave, libc::POLLIN)? & libc::POLLIN, 0)?;
    stage.release();
    leader.join()
}
