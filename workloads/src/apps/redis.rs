//! redis, and a client in the middle of a pipeline.

use super::helpers::{Server, command, connected, expect_said, keep_asking};
use crate::framework::prelude::*;
use std::io::Write as _;
use std::os::unix::net::UnixStream;

pub const WORKLOAD: Workload = Workload {
    purpose: "a redis server that appends to a file, with a client that always has requests on their way",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut redis = command("redis-server")?;
    let options = ["--port", "0", "--unixsocket", "redis.sock", "--appendonly", "yes", "--save", "1 1"];
    let server = Server::start(redis.args(options))?;
    let mut client = connected(|| UnixStream::connect("redis.sock"))?;
    let mut sent = 0;
    keep_asking(cx, move |number| {
        // Ten more are always on their way.
        while sent < 10 * (number + 2) {
            client.write_all(b"INCR counter\r\n").context("ask")?;
            sent += 1;
        }
        (10 * number..10 * (number + 1))
            .try_for_each(|count| expect_said(&mut client, &format!(":{}\r\n", count + 1)))
    })?;
    server.end(libc::SIGTERM)
}
