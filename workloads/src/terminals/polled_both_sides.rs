//! Processes wait in poll(2) and epoll_wait(2) for both sides of a terminal.

use super::helpers::{Pty, expect_read, read_line};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes that wait for both sides of a terminal to become ready",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, pty) = (Stage::new()?, Pty::new()?);
    let wait = |end: &std::os::fd::OwnedFd| -> Outcome {
        let mut fds =
            [libc::pollfd { fd: std::os::fd::AsRawFd::as_raw_fd(end), events: libc::POLLIN, revents: 0 }];
        // SAFETY: one entry, which is live.
        expect_eq(
            "ready",
            sys::check("ppoll", unsafe {
                libc::ppoll(fds.as_mut_ptr(), 1, std::ptr::null(), std::ptr::null())
            })?,
            1,
        )
    };
    let program = fork("the program", || {
        wait(&pty.slave)?;
        expect_eq("line", read_line(&pty.slave)?, "typed\n")
    })?;
    stage.wait_in(&program, libc::SYS_ppoll)?;
    let user = fork("the user", || {
        wait(&pty.master)?;
        expect_read("echo", &pty.master, b"typed\r\n")
    })?;
    stage.wait_in(&user, libc::SYS_ppoll)?;

    cx.ready()?;

    stage.wait_in(&program, libc::SYS_ppoll)?;
    stage.wait_in(&user, libc::SYS_ppoll)?;
    fd::write_all(&pty.master, b"typed\n")?;
    program.join()?;
    user.join()
}
