//! Lines go back and forth through a terminal as fast as they can; none is lost, doubled or torn.

use super::helpers::{Pty, read_line};
use crate::framework::ping_pong;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes in motion that talk through a terminal",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let pty = Pty::new()?;
    super::helpers::set(&pty.slave, |termios| {
        termios.c_lflag = libc::ICANON;
        termios.c_oflag = 0;
    })?;
    let user = |round: u64| {
        let number = 2 * round;
        // Two lines at once, so that one waits.
        fd::write_all(&pty.master, format!("{number}\n{}\n", number + 1).as_bytes())?;
        for want in [number, number + 1] {
            let want = format!("got {want}\n");
            let got = fd::read_all(&pty.master, want.len())?;
            expect_bytes("answer", &got, want.as_bytes())?;
        }
        Ok(())
    };
    let program = || {
        let mut number = 0u64;
        loop {
            match read_line(&pty.slave)?.as_str() {
                "" => return Ok(()),
                line => expect_eq("line", line, format!("{number}\n"))?,
            }
            fd::write_all(&pty.slave, format!("got {number}\n").as_bytes())?;
            number += 1;
        }
    };
    ping_pong::game(cx, user, || fd::write_all(&pty.master, b"\x04"), program)
}
