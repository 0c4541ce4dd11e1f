//! A connection that takes no more bytes, in either direction.

use super::helpers::{drain, fill, pair, talk};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "megabytes in the queues of a TCP connection that nobody reads",
    needs: &[Need::Root],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = pair()?;
    let (there, back) = (fill(&one, cx.seed)?, fill(&other, !cx.seed)?);
    expect(there.min(back) > 100_000, || "little fits into the queues".into())?;

    cx.ready()?;

    drain(&other, there, cx.seed)?;
    drain(&one, back, !cx.seed)?;
    talk((&one, &other), cx.seed)
}
