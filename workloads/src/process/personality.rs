//! personality(2) flags of a process.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the execution domain: no randomisation, version 2.6 in uname",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const FLAGS: libc::c_ulong =
    (libc::ADDR_NO_RANDOMIZE | libc::UNAME26 | libc::STICKY_TIMEOUTS) as libc::c_ulong;

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: personality has no memory arguments; none of the flags changes existing mappings.
    sys::check("personality", unsafe { libc::personality(FLAGS) })?;

    cx.ready()?;

    // SAFETY: 0xffffffff only asks.
    let now = sys::check("personality", unsafe { libc::personality(0xffff_ffff) })?;
    expect_eq("personality", now as libc::c_ulong, FLAGS)?;
    let name = nix::sys::utsname::uname()?;
    expect(name.release().to_string_lossy().starts_with("2.6."), || {
        format!("uname says {:?}", name.release())
    })
}
