//! A session through sshd, with a terminal.

use super::helpers::{Server, Talk, command, connected, free_port, keep_asking};
use crate::framework::prelude::*;
use std::net::TcpStream;
use std::process::Stdio;

pub const WORKLOAD: Workload = Workload {
    purpose: "sshd, its client, and a program on a terminal between them",
    needs: &[Need::Installed, Need::Root],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut sshd = command("sshd")?;
    if !std::path::Path::new("/run/sshd").exists() {
        skip("there is no /run/sshd")?;
    }
    // One for the machine and for the user.
    let made = command("ssh-keygen")?.args(["-q", "-t", "ed25519", "-N", "", "-f", "key"]).status();
    expect(made.context("ssh-keygen")?.success(), || "no key".into())?;
    let (port, dir) = (free_port()?.to_string(), cx.dir.display());
    let settings = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/key\nAuthorizedKeysFile {dir}/key.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n"
    );
    std::fs::write("settings", settings).context("write the settings")?;
    let settings = cx.dir.join("settings");
    let server = Server::start(sshd.arg("-D").arg("-e").arg("-f").arg(settings).stderr(Stdio::null()))?;
    connected(|| TcpStream::connect(format!("127.0.0.1:{port}")))?;
    let mut ssh = command("ssh")?;
    ssh.args(["-F", "none", "-i", "key", "-p", &port, "-tt", "-o", "UserKnownHostsFile=hosts"]);
    ssh.args(["-o", "StrictHostKeyChecking=no", "root@127.0.0.1", TEXT]);
    ssh.stderr(Stdio::null());
    let mut talk = Talk::with(ssh)?;
    // Its terminal does not hang up.
    talk.goodbye = Some("goodbye");
    expect_eq("answer", talk.hear()?, "there".to_owned())?;
    keep_asking(cx, move |number| {
        talk.say(&number.to_string())?;
        expect_eq("answer", talk.hear()?, number.to_string())
    })?;
    server.end(libc::SIGTERM)
}

const TEXT: &str = r#"
stty -echo -onlcr
echo there
while read -r n && [ "$n" != goodbye ]; do echo "$n"; done
"#;
