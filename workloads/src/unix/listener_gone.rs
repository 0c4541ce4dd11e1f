//! Connections whose listener is closed: its file is removed, or an abstract name free again.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::SockType;

pub const WORKLOAD: Workload = Workload {
    purpose: "the names of connections whose listener is closed, and its file removed",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut connections = Vec::new();
    for at in [helpers::path("door")?, helpers::abstract_name("door")?] {
        let listener = helpers::listener(SockType::Stream, &at)?;
        let client = helpers::connected(SockType::Stream, &at)?;
        let served = helpers::accepted(&listener)?;
        helpers::send(&client, b"question")?;
        connections.push((client, served));
    }
    std::fs::remove_file("door").context("unlink")?;
    let names = || {
        connections
            .iter()
            .map(|(one, other)| (helpers::names(one), helpers::names(other)))
            .collect::<Vec<_>>()
    };
    let want = names();

    cx.ready()?;

    expect_eq("names", names(), want)?;
    for (client, served) in &connections {
        expect_bytes("question", &helpers::receive(served)?, b"question")?;
        helpers::send(served, b"answer")?;
        expect_bytes("answer", &helpers::receive(client)?, b"answer")?;
    }
    expect(!std::path::Path::new("door").exists(), || "the file is there again".into())?;
    helpers::listener(SockType::Stream, &helpers::path("door")?)?;
    helpers::listener(SockType::Stream, &helpers::abstract_name("door")?).map(drop)
}
