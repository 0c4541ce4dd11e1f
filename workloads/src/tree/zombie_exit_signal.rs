//! Zombies with an exit signal other than SIGCHLD, or none. Some of the signals have been taken,
//! some are pending.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "zombies whose exit signals were sent before: none is sent again",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// The exit signal, and whether the parent takes it before. The last one counts each.
const CASES: [(i32, bool); 5] =
    [(libc::SIGUSR1, true), (39, true), (0, true), (libc::SIGUSR2, false), (40, false)];
const WATCHED: [i32; 5] = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGCHLD, 39, 40];

fn run(cx: &mut Ctx) -> Outcome {
    signal::block(&WATCHED)?;
    let (mut zombies, mut left) = (Vec::new(), Vec::new());
    for (code, (number, taken)) in (60..).zip(CASES) {
        // SAFETY: without a new stack or shared memory this is fork; the child only ends through
        // `exit`.
        let pid = sys::check("clone", unsafe { libc::syscall(libc::SYS_clone, number as u64, 0, 0, 0, 0) })?;
        if pid == 0 {
            helpers::exit(code);
        }
        let pid = pid as libc::pid_t;
        helpers::wait_zombie(pid)?;
        if taken && number != 0 {
            expect_eq("signal taken", signal::take(&[number])?.map(|info| info.pid()), Some(pid))?;
        }
        if !taken {
            left.push((number, pid));
        }
        zombies.push((pid, number, code));
    }
    expect_eq("pending before", signal::pending()?, signal::bits(&[libc::SIGUSR2, 40]))?;

    cx.ready()?;

    for (pid, number, _) in &zombies {
        let stat = procfs::Stat::of(*pid)?;
        expect_eq("state and exit signal", (stat.state, stat.field(38)?), ('Z', i64::from(*number)))?;
    }
    let mut found = Vec::new();
    while let Some(info) = signal::take(&WATCHED)? {
        found.push((info.signal(), info.pid()));
    }
    expect_eq("signals and their senders", found, left)?;
    for (pid, number, code) in &zombies {
        // Without __WALL only children that send SIGCHLD are found (wait_consider_task,
        // kernel/exit.c).
        let plain = helpers::waitid(libc::P_PID, *pid, libc::WEXITED | libc::WNOHANG);
        expect_eq("errno of a plain wait", fd::errno("waitid", plain)?, libc::ECHILD)?;
        let found = helpers::waitid(libc::P_PID, *pid, libc::WEXITED | libc::__WALL)?;
        expect_eq(&format!("zombie with signal {number}"), found, Some((libc::CLD_EXITED, *code, *pid)))?;
    }
    expect_eq("pending behind the zombies", signal::pending()? & signal::bits(&WATCHED), 0)
}
