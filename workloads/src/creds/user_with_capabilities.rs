//! An ordinary user's process that kept some capabilities of root.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "capabilities kept over a change of user",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    use helpers::cap::{CHOWN, SYS_PTRACE};
    let stage = Stage::new()?;
    let (kept, used) = (helpers::mask(&[CHOWN, SYS_PTRACE]), helpers::mask(&[CHOWN]));
    fd::open("file", libc::O_RDWR | libc::O_CREAT, 0o600)?;
    let change = || {
        helpers::prctl(libc::PR_SET_KEEPCAPS, 1)?;
        helpers::set_gids(1000, 1000, 1000)?;
        helpers::set_groups(&[1000, 1001])?;
        helpers::set_uids(1000, 1000, 1000)?;
        helpers::set_caps(used, kept, 0)
    };
    let check = || {
        // SAFETY: the path is a C string.
        sys::check("chown", unsafe { libc::chown(c"file".as_ptr(), 55, 66) }).context("with CAP_CHOWN")?;
        Ok(())
    };
    let child = helpers::changed_child(&stage, "the user with capabilities", change, check)?;

    cx.ready()?;

    stage.release();
    child.join()?;
    let file = fd::stat(&fd::open("file", libc::O_RDONLY, 0)?)?;
    expect_eq("owner of the file", (file.st_uid, file.st_gid), (55, 66))
}
