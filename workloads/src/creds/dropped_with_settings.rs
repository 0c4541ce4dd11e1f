//! Settings that a change of user ids resets, made after it: all are in effect.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "dumpable, parent-death signal, keep-capabilities and no_new_privs set after giving up root",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let settings = || {
        let mut signal = 0i32;
        // SAFETY: this prctl writes one int.
        sys::check("prctl", unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) })?;
        let get = |option| helpers::prctl(option, 0);
        let dumpable = get(libc::PR_GET_DUMPABLE)?;
        anyhow::Ok([dumpable, get(libc::PR_GET_KEEPCAPS)?, get(libc::PR_GET_NO_NEW_PRIVS)?, signal])
    };
    let body = |dumpable: u64| {
        move |stage: &Stage| {
            helpers::set_gids(1000, 1000, 1000)?;
            helpers::set_uids(1000, 1000, 1000)?;
            helpers::prctl(libc::PR_SET_DUMPABLE, dumpable)?;
            helpers::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR2 as u64)?;
            helpers::prctl(libc::PR_SET_KEEPCAPS, 1)?;
            helpers::prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
            let (want, creds) = (settings()?, helpers::all()?);
            stage.hold();
            expect_eq("dumpable, keepcaps, no_new_privs, death signal", settings()?, want)?;
            expect_eq("credentials", helpers::all()?, creds)
        }
    };
    let closed = stage.fork("the process that is not dumpable", body(0))?;
    let open = stage.fork("the process that is dumpable", body(1))?;

    cx.ready()?;

    stage.release();
    closed.join()?;
    open.join()
}
