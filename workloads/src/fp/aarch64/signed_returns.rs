//! Sixty-five frames on each stack have signed return addresses: with other keys, none of them
//! returns.

use super::{over_read, pauth};
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "signed return addresses on the stacks of blocked threads",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    pauth::required()?;
    blocked_threads(cx, 4, |blocked| {
        if blocked.number.is_multiple_of(2) {
            pauth::reset(1)?;
        }
        blocked.through(over_read::signed_returns, &Aligned([0; 8])).map(drop)
    })
}
