//! script records a shell.

use super::helpers::{OnTerminal, command};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "script between two terminals, and what it records",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut script = command("script")?;
    script.args(["-q", "-c", "env 'PS1=> ' sh", "record"]);
    OnTerminal::start(script)?.keeps_number(cx)?;
    let record = std::fs::read_to_string("record").context("read the record")?;
    expect(record.contains("n=41") && record.contains("is 42"), || format!("recorded: {record:?}"))
}
