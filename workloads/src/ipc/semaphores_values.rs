//! A set of semaphores, named as the job's: values and mode.

use super::helpers::{Semaphores, claim};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "System V semaphores: the value of each",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    const VALUES: [u16; 4] = [3, 0, 32767, 1];
    let semaphores = Semaphores::new(0o600, &mut { VALUES })?;
    claim(cx, &[format!("sem:{}", semaphores.0)])?;

    cx.ready()?;

    expect_eq("values", semaphores.values()?, VALUES)?;
    semaphores.change(0, -3)?;
    semaphores.change(1, 2)?;
    expect_eq("values afterwards", semaphores.values()?, [0, 2, 32767, 1])
}
