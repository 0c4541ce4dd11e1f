//! pthread_join(3) waits on the word that the kernel clears when a thread exits
//! (set_tid_address(2)).

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread that waits for another one to end",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static END: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let last = thread::spawn(|| {
        END.block_until(1);
        Ok(())
    })?;
    last.wait_blocked_in(libc::SYS_futex)?;
    let waiter = thread::spawn(move || last.join())?;
    waiter.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    END.set(1);
    waiter.join()
}
