//! Two hundred signals with values are queued on one thread.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "a long queue of pending signals", needs: &[], active: false, statik: false, run };

const COUNT: usize = 200;

fn run(cx: &mut Ctx) -> Outcome {
    let me = sys::getpid();
    signal::block(&[45])?;
    for n in 0..COUNT {
        signal::queue_thread(me, sys::gettid(), 45, n * 3)?;
    }

    cx.ready()?;

    for n in 0..COUNT {
        let info = signal::take(&[45])?.with_context(|| format!("only {n} of {COUNT} are pending"))?;
        expect_eq(&format!("value {n}"), info.value(), n * 3)?;
    }
    expect_eq("left over", signal::take(&[45])?, None)
}
