//! Datagram sockets with files, bound by relative names from directories left since.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockType, connect};
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "datagrams with their senders: with a file, without a name, and gone; names relative to elsewhere",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::create_dir_all("far/away").context("mkdir")?;
    let here = std::env::current_dir().context("getcwd")?;
    std::env::set_current_dir("far").context("chdir")?;
    let inbox = helpers::path("away/inbox")?;
    let receiver = helpers::bound(SockType::Datagram, &inbox)?;
    let writer = helpers::bound(SockType::Datagram, &helpers::path("writer")?)?;
    connect(writer.as_raw_fd(), &inbox).context("connect")?;
    helpers::send(&writer, b"from the writer")?;
    helpers::send_to(&helpers::new(SockType::Datagram)?, b"from nobody", &inbox)?;
    let gone = helpers::bound(SockType::Datagram, &helpers::path("gone")?)?;
    helpers::send_to(&gone, b"from one that is gone", &inbox)?;
    drop(gone);
    std::fs::remove_file("gone").context("unlink")?;
    helpers::send(&writer, b"once more")?;
    std::env::set_current_dir(&here).context("chdir")?;
    let want = [helpers::names(&receiver), helpers::names(&writer)];

    cx.ready()?;

    expect_eq("names", [helpers::names(&receiver), helpers::names(&writer)], want)?;
    let by = |name: &str| helpers::path(name).map(Some);
    let next = || helpers::receive_from(&receiver);
    expect_eq("first", next()?, (b"from the writer".to_vec(), by("writer")?))?;
    expect_eq("second", next()?, (b"from nobody".to_vec(), None))?;
    expect_eq("third", next()?, (b"from one that is gone".to_vec(), by("gone")?))?;
    expect_eq("fourth", next()?, (b"once more".to_vec(), by("writer")?))?;
    helpers::nothing_left("at the end", &receiver)?;
    helpers::send(&writer, b"new")?;
    expect_eq("a new one", next()?, (b"new".to_vec(), by("writer")?))?;
    helpers::send_to(&receiver, b"by its file", &helpers::path("far/writer")?)?;
    expect_eq(
        "the other way",
        helpers::receive_from(&writer)?,
        (b"by its file".to_vec(), by("away/inbox")?),
    )?;
    expect(!std::path::Path::new("far/gone").exists(), || "a file is there again".into())
}
