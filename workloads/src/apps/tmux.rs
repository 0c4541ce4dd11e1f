//! tmux: its server, its client on a terminal, and a shell in a window.

use super::helpers::{OnTerminal, Server, command, connected};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "tmux with a client on a terminal and a shell in it",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let tmux = |args: &[&str]| -> anyhow::Result<std::process::Command> {
        let mut tmux = command("tmux")?;
        tmux.args(["-S", "tmux.sock", "-f", "/dev/null"]).args(args);
        Ok(tmux)
    };
    // In the foreground, or it would leave the job.
    let server = Server::start(&mut tmux(&["-D"])?)?;
    connected(|| std::os::unix::net::UnixStream::connect("tmux.sock"))?;
    OnTerminal::start(tmux(&["new-session", "env", "PS1=> ", "sh"])?)?.keeps_number(cx)?;
    server.end(libc::SIGTERM)
}
