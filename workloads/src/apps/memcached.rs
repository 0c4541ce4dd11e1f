//! memcached, and a client that stays connected.

use super::helpers::{Server, command, connected, expect_said, free_port, keep_asking};
use crate::framework::prelude::*;
use std::io::Write as _;
use std::net::TcpStream;

pub const WORKLOAD: Workload = Workload {
    purpose: "memcached with its threads and a client",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let port = free_port()?;
    let mut memcached = command("memcached")?;
    let server = Server::start(memcached.args(["-u", "root", "-l", "127.0.0.1", "-p", &port.to_string()]))?;
    let mut client = connected(|| TcpStream::connect(("127.0.0.1", port)))?;
    client.write_all(b"set counter 0 0 1\r\n0\r\n").context("ask")?;
    expect_said(&mut client, "STORED\r\n")?;
    keep_asking(cx, move |number| {
        client.write_all(b"incr counter 1\r\n").context("ask")?;
        expect_said(&mut client, &format!("{}\r\n", number + 1))
    })?;
    server.end(libc::SIGTERM)
}
