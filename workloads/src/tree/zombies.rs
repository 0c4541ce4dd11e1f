//! Children have exited with different codes and are not reaped yet; wait returns them in order of
//! creation.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "zombies: exit codes, ids and the order in which wait finds them",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const CODES: [i32; 6] = [0, 1, 255, 42, 128, 77];

fn run(cx: &mut Ctx) -> Outcome {
    let zombies: Vec<Child> =
        CODES.iter().map(|code| helpers::zombie(*code)).collect::<anyhow::Result<_>>()?;
    let me = sys::getpid();
    let family = helpers::family(me)?;

    cx.ready()?;

    for zombie in &zombies {
        expect_eq("state", procfs::Stat::of(zombie.pid)?.state, 'Z')?;
        expect_eq("family", helpers::family(zombie.pid)?, (me, family.1, family.2))?;
    }
    for (zombie, code) in zombies.iter().zip(CODES) {
        let mut status = 0;
        // SAFETY: the status lives through the call.
        let pid = sys::check("waitpid", unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) })?;
        expect_eq("pid and status of the next", (pid, status), (zombie.pid, code << 8))?;
    }
    // SAFETY: as above.
    let errno = sys::errno_of(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) });
    expect_eq("errno at the end", errno, Some(libc::ECHILD))
}
