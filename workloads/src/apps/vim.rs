//! vim with text that is not written yet, on a terminal.

use super::helpers::{OnTerminal, await_contents, command};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an editor on a terminal of its own, with unwritten changes",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut vim = command("vim")?;
    vim.args(["-u", "NONE", "-n", "text"]);
    let mut vim = OnTerminal::start(vim)?;
    vim.shows("text")?;
    vim.types("ione line\rand half of")?;
    vim.shows("half of")?;

    cx.ready()?;

    vim.types(" another\u{1b}:w\r")?;
    await_contents(&cx.dir.join("text"), "one line\nand half of another\n")?;
    // What was undone is not in the file.
    vim.types("u:wq\r")?;
    vim.ends()?;
    await_contents(&cx.dir.join("text"), "")
}
