//! screen: its server, its client on a terminal, and a shell in a window.

use super::helpers::{OnTerminal, command};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "screen with a client on a terminal and a shell in it",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut screen = command("screen")?;
    std::fs::create_dir("sockets").context("mkdir")?;
    std::fs::set_permissions("sockets", std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .context("chmod")?;
    screen
        .args(["-c", "/dev/null", "-s", "/bin/sh"])
        .env("SCREENDIR", cx.dir.join("sockets"))
        .env("PS1", "> ");
    OnTerminal::start(screen)?.keeps_number(cx)
}
