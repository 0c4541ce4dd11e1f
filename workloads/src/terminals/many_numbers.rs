//! Several pseudo-terminals, with gaps between their numbers.

use super::helpers::{Pty, expect_read};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "pseudo-terminals whose numbers have gaps",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let all = (0..12).map(|_| Pty::raw()).collect::<anyhow::Result<Vec<_>>>()?;
    let mut kept: Vec<Pty> =
        all.into_iter().enumerate().filter(|(at, _)| at % 3 == 1).map(|(_, pty)| pty).collect();
    kept.reverse();
    for pty in &kept {
        fd::write_all(&pty.slave, &pty.index.to_ne_bytes())?;
    }

    cx.ready()?;

    for pty in &kept {
        pty.expect_numbers()?;
        expect_read("output", &pty.master, &pty.index.to_ne_bytes())?;
    }
    Ok(())
}
