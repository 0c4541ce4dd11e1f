//! f0 to f31 of four threads that use no vectors.

use super::over_read;
use crate::fp::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the thirty-two floating-point registers",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    helpers::blocked_threads(cx, 4, |blocked| helpers::unchanged::<256>(blocked, over_read::float))
}
