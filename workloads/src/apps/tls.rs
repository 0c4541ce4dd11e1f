//! TLS between two processes.

use super::helpers::{Server, Talk, command, connected, free_port, keep_asking};
use crate::framework::prelude::*;
use std::net::TcpStream;

pub const WORKLOAD: Workload = Workload {
    purpose: "openssl's server and its client, in the middle of a session",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let made = command("openssl")?
        .args([
            "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=here", "-keyout", "key", "-out",
            "cert",
        ])
        .stderr(std::process::Stdio::null())
        .status();
    expect(made.context("openssl req")?.success(), || "no certificate".into())?;
    let port = free_port()?.to_string();
    let mut server = command("openssl")?;
    // It answers with each line backwards.
    server.args([
        "s_server",
        "-key",
        "key",
        "-cert",
        "cert",
        "-accept",
        &format!("127.0.0.1:{port}"),
        "-quiet",
        "-rev",
    ]);
    let server = Server::start(server.stderr(std::process::Stdio::null()))?;
    connected(|| TcpStream::connect(format!("127.0.0.1:{port}")))?;
    let mut client = command("openssl")?;
    client.args([
        "s_client",
        "-connect",
        &format!("127.0.0.1:{port}"),
        "-quiet",
        "-no_ign_eof",
        "-verify_quiet",
    ]);
    client.stderr(std::process::Stdio::null());
    let mut talk = Talk::with(client)?;
    keep_asking(cx, move |number| {
        let question = format!("{number} and more");
        talk.say(&question)?;
        expect_eq("answer", talk.hear()?, question.chars().rev().collect::<String>())
    })?;
    server.end(libc::SIGTERM)
}
