//! A ring with room for many more completions than requests.

use super::helpers::Ring;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an io_uring with a large completion queue (CQSIZE), half full",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut ring = Ring::with_sizes(2, 4096)?;
    ring.spin(5000, 2000)?;

    cx.ready()?;

    expect_eq("done", ring.done(), (5000, 5000))?;
    for number in 3000..5000 {
        expect_eq("completion", ring.take(), Some((number, 0)))?;
    }
    expect_eq("another", ring.take(), None)?;
    ring.spin(5000, 0)
}
