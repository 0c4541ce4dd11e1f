//! A child forks, reaps and checks grandchildren without pause: a checkpoint meets processes that
//! have just been created or have just exited.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes that come and go all the time",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let child = fork("forking child", || {
        let mut number = 0;
        while shared.cell(0).get() == 0 {
            number = (number + 1) % 100;
            let code = number;
            let grandchild = fork("grandchild", || {
                // SAFETY: _exit has no preconditions.
                unsafe { libc::_exit(code) }
            })?;
            grandchild.join_as(code)?;
            shared.cell(1).bump();
        }
        Ok(())
    })?;
    shared.cell(1).wait("the first grandchildren", 5)?;

    cx.ready()?;

    let before = shared.cell(1).get();
    sync::wait_until("more grandchildren", || Ok(shared.cell(1).get().wrapping_sub(before) >= 5))?;
    shared.cell(0).set(1);
    child.join()
}
