//! A listener and a connection have filters.

use super::helpers::{listener, pair_of, talk};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "locked classic filters of a TCP listener and of an end of a connection",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

/// Where the length of the header is, which is never this.
const LENGTH: u32 = 12;

fn run(cx: &mut Ctx) -> Outcome {
    let listener = listener("127.0.0.1")?;
    let (one, other) = pair_of(&listener)?;
    let code = option::filter_against(0xff, LENGTH);
    option::set_filter(&listener, &code)?;
    option::set_filter(&other, &code)?;

    cx.ready()?;

    talk((&one, &other), cx.seed)?;
    let (new, accepted) = pair_of(&listener)?;
    talk((&new, &accepted), cx.seed)?;
    option::expect_filter(&listener, &code)?;
    option::expect_filter(&other, &code)
}
