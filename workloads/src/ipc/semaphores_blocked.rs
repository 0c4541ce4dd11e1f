//! Two processes wait for semaphores of one set, one of them for two at once; a third one has gone
//! through.

use super::helpers::{Semaphores, claim};
use crate::framework::prelude::*;
use std::mem::ManuallyDrop;

pub const WORKLOAD: Workload =
    Workload { purpose: "processes that are blocked in semop", needs: &[], active: false, statik: true, run };

fn run(cx: &mut Ctx) -> Outcome {
    let semaphores = Semaphores::new(0o600, &mut [1, 0, 0, 9])?;
    claim(cx, &[format!("sem:{}", semaphores.0)])?;
    let id = semaphores.0;
    let one = fork("waits for one", || ManuallyDrop::new(Semaphores(id)).change(1, -2))?;
    let both = fork("waits for two", || {
        let step = |sem_num| libc::sembuf { sem_num, sem_op: -1, sem_flg: 0 };
        let mut operations = [step(0), step(2)];
        // SAFETY: as many operations as are given.
        sys::check("semop", unsafe { libc::semop(id, operations.as_mut_ptr(), operations.len()) })?;
        Ok(())
    })?;
    sync::wait_until("both to wait", || Ok(semaphores.waiting(1)? == 1 && semaphores.waiting(2)? == 1))?;

    cx.ready()?;

    sync::wait_until(
        "both to wait again",
        || Ok(semaphores.waiting(1)? == 1 && semaphores.waiting(2)? == 1),
    )?;
    expect_eq("values", semaphores.values()?, [1, 0, 0, 9])?;
    semaphores.change(1, 1)?;
    expect_eq("values with too little", semaphores.values()?, [1, 1, 0, 9])?;
    semaphores.change(2, 1)?;
    both.join()?;
    semaphores.change(1, 1)?;
    one.join()?;
    expect_eq("values at last", semaphores.values()?, [0, 0, 0, 9])
}
