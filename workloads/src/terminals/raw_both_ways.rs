//! Bytes of all values on their way in both directions, odd settings, and a size.

use super::helpers::{self, Pty, expect_nothing};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a terminal with odd settings and bytes of all values on their way in both directions",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// Bytes on their way in each direction.
const LEN: usize = 3000;

fn run(cx: &mut Ctx) -> Outcome {
    let pty = Pty::raw()?;
    helpers::set(&pty.slave, |termios| {
        termios.c_cc[..16].iter_mut().zip(1..).for_each(|(place, value)| *place = value);
        termios.c_cflag = termios.c_cflag & !libc::CSIZE | libc::CS7 | libc::PARENB | libc::HUPCL;
        termios.c_lflag = libc::NOFLSH | libc::TOSTOP;
        (termios.c_cc[libc::VMIN], termios.c_cc[libc::VTIME]) = (5, 3);
    })?;
    helpers::set_size(&pty.slave, [33, 101, 660, 1010])?;
    let settings = helpers::settings(&pty.slave)?;
    let flags = fd::flags(&pty.master)? | libc::O_NONBLOCK;
    fd::fcntl(&pty.master, libc::F_SETFL, flags)?;
    fd::write_all(&pty.master, &pattern::bytes(LEN, cx.seed))?;
    fd::write_all(&pty.slave, &pattern::bytes(LEN, cx.seed + 1))?;

    cx.ready()?;

    pty.expect_numbers()?;
    expect_eq("flags", fd::flags(&pty.master)?, flags)?;
    let now = helpers::settings(&pty.slave)?;
    let modes = |t: &libc::termios| [t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag];
    expect_eq("modes", modes(&now), modes(&settings))?;
    expect_eq("special characters", now.c_cc, settings.c_cc)?;
    expect_eq("speeds", (now.c_ispeed, now.c_ospeed), (settings.c_ispeed, settings.c_ospeed))?;
    expect_eq("size", helpers::size(&pty.master)?, [33, 101, 660, 1010])?;
    pattern::verify("input", &fd::read_all(&pty.slave, LEN)?, cx.seed)?;
    pattern::verify("output", &fd::read_all(&pty.master, LEN)?, cx.seed + 1)?;
    expect_nothing("more output", &pty.master)?;
    expect_nothing("more input", &pty.slave)
}
