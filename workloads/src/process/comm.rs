//! The command name of the process, with a byte that is not printable and the full fifteen
//! characters.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "the command name set by prctl", needs: &[], active: false, statik: true, run };

const NAME: &[u8; 15] = b"cairn )( \x01 comm";

fn run(cx: &mut Ctx) -> Outcome {
    let mut name = [0u8; 16];
    name[..15].copy_from_slice(NAME);
    // SAFETY: PR_SET_NAME reads at most 16 bytes from the array, which ends with a NUL.
    sys::check("prctl(PR_SET_NAME)", unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) })?;

    cx.ready()?;

    let mut got = [0u8; 16];
    // SAFETY: PR_GET_NAME writes exactly 16 bytes.
    sys::check("prctl(PR_GET_NAME)", unsafe { libc::prctl(libc::PR_GET_NAME, got.as_mut_ptr()) })?;
    expect_eq("PR_GET_NAME", got, name)?;
    let comm = std::fs::read("/proc/self/comm").context("read /proc/self/comm")?;
    expect_eq("/proc/self/comm", comm.trim_ascii_end(), NAME.as_slice())
}
