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
    let mut script = OnTerminal::start(script)?;
    script.shows("> ")?;
    script.types("n=41\r")?;
    script.shows("> ")?;

    cx.ready()?;

    script.types("echo is $((n + 1))\r")?;
    script.shows("is 42")?;
    script.types("exit\r")?;
    script.ends()?;
    let record = std::fs::read_to_string("record").context("read the record")?;
    expect(record.contains("n=41") && record.contains("is 42"), || format!("recorded: {record:?}"))
}
