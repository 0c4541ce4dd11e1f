//! Processes wait for a lock of an open file description and for one of flock(2).

use super::helpers::{flock, lock};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "processes that wait for file locks", needs: &[], active: false, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let open = |name: &str| fd::open(name, libc::O_RDWR | libc::O_CREAT, 0o600);
    let (described, whole) = (open("described")?, open("whole")?);
    lock(&described, libc::F_OFD_SETLK, libc::F_WRLCK, 10, 5)?;
    flock(&whole, libc::LOCK_EX)?;
    let first = fork("for a range", || {
        let again = open("described")?;
        lock(&again, libc::F_OFD_SETLKW, libc::F_RDLCK, 0, 100)
    })?;
    let second = fork("for the whole", || {
        let again = open("whole")?;
        flock(&again, libc::LOCK_SH)?;
        Ok(())
    })?;
    stage.wait_in(&first, libc::SYS_fcntl)?;
    stage.wait_in(&second, libc::SYS_flock)?;

    cx.ready()?;

    stage.wait_in(&first, libc::SYS_fcntl)?;
    stage.wait_in(&second, libc::SYS_flock)?;
    lock(&described, libc::F_OFD_SETLK, libc::F_UNLCK, 10, 5)?;
    first.join()?;
    flock(&whole, libc::LOCK_UN)?;
    second.join()
}
