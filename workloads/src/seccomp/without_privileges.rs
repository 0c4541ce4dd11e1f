//! A filter that a privileged process installed before it dropped its privileges: it has no
//! no_new_privs, without which it could not install another.

use super::helpers::{deny, seen};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a seccomp filter from before privileges were dropped, without no_new_privs",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    const NOBODY: libc::uid_t = 65534;
    let stage = Stage::new()?;
    let child = stage.fork("the process without privileges", |stage| {
        deny(libc::SYS_getpgid, 51, 0)?;
        // SAFETY: numbers only.
        sys::check("setresuid", unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) })?;
        stage.hold();
        expect_eq("errno of getpgid and getsid", seen(), [51, 0])?;
        expect_eq("no_new_privs", sys::prctl(libc::PR_GET_NO_NEW_PRIVS, [0; 4])?, 0)?;
        let denied = deny(libc::SYS_getsid, 52, 0).err().and_then(|error| sys::errno_in(&error));
        expect_eq("errno of another filter", denied, Some(libc::EACCES))
    })?;

    cx.ready()?;

    stage.release();
    child.join()
}
