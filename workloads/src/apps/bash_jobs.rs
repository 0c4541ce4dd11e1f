//! An interactive shell with a stopped job and a running one.

use super::helpers::{OnTerminal, command};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an interactive bash on a terminal, with a stopped job",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut bash = command("bash")?;
    bash.args(["--norc", "--noprofile", "--noediting", "-i"]).env("PS1", "> ");
    let mut bash = OnTerminal::start(bash)?;
    bash.shows("> ")?;
    bash.types("sleep 1000 &\n")?;
    bash.shows("[1] ")?;
    bash.shows("> ")?;
    bash.types("cat\n")?;
    bash.shows("cat\r\n")?;
    bash.types("hello\n")?;
    bash.shows("hello\r\nhello\r\n")?;
    bash.types("\u{1a}")?;
    bash.shows("Stopped")?;
    bash.shows("> ")?;

    cx.ready()?;

    bash.types("jobs\n")?;
    bash.shows("Running")?;
    bash.shows("Stopped")?;
    bash.shows("> ")?;
    bash.types("fg\n")?;
    bash.shows("fg\r\ncat\r\n")?;
    bash.types("again\n")?;
    bash.shows("again\r\nagain\r\n")?;
    bash.types("\u{4}")?;
    bash.types("kill %1; wait; echo $((40 + 2)); exit\n")?;
    bash.shows("42\r\n")?;
    bash.ends()
}
