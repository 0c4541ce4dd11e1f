//! Two sessions, each with a terminal of its own under the name /dev/tty.

use super::helpers::{self, Pty, expect_read};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "two sessions whose terminals were both opened as /dev/tty, one read-only",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, ptys) = (Stage::new()?, [Pty::new()?, Pty::new()?]);
    let leaders =
        [("first", libc::O_RDWR), ("second", libc::O_RDWR | libc::O_NONBLOCK)].into_iter().zip(&ptys);
    let leaders = leaders.map(|((name, flags), pty)| {
        stage.fork(name, move |stage| {
            helpers::begin_session(&pty.slave)?;
            let terminal = fd::open("/dev/tty", flags, 0)?;
            let reader = fd::open("/dev/tty", libc::O_RDONLY, 0)?;
            stage.hold();
            expect_eq("flags", fd::flags(&terminal)? & libc::O_NONBLOCK, flags & libc::O_NONBLOCK)?;
            expect_eq("session", helpers::session(&terminal)?, sys::getpid())?;
            fd::write_all(&terminal, format!("{name}\n").as_bytes())?;
            expect_eq("line", helpers::read_line(&reader)?, format!("for the {name}\n"))
        })
    });
    let leaders = leaders.collect::<anyhow::Result<Vec<_>>>()?;

    cx.ready()?;

    fd::write_all(&ptys[0].master, b"for the first\n")?;
    fd::write_all(&ptys[1].master, b"for the second\n")?;
    expect_read("echo", &ptys[0].master, b"for the first\r\n")?;
    expect_read("echo", &ptys[1].master, b"for the second\r\n")?;
    stage.release();
    expect_read("name", &ptys[0].master, b"first\r\n")?;
    expect_read("name", &ptys[1].master, b"second\r\n")?;
    leaders.into_iter().try_for_each(Child::join)
}
