//! Abstract names: of a listener, of datagram sockets, and one that the kernel chose.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{SockType, UnixAddr, bind};
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "abstract names: of a listener and its clients, of datagrams, and one that the kernel chose",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let door = helpers::abstract_name("door")?;
    let odd = [&[0, 1, b'/', 0, 0xff][..], &std::process::id().to_ne_bytes()].concat();
    let odd = UnixAddr::new_abstract(&odd).context("an odd name")?;
    let listener = helpers::listener(SockType::Stream, &door)?;
    let client = helpers::connected(SockType::Stream, &door)?;
    let served = helpers::accepted(&listener)?;
    let receiver = helpers::bound(SockType::Datagram, &helpers::abstract_name("box")?)?;
    let sender = helpers::bound(SockType::Datagram, &odd)?;
    nix::sys::socket::connect(sender.as_raw_fd(), &helpers::abstract_name("box")?).context("connect")?;
    let chosen = helpers::new(SockType::Datagram)?;
    bind(chosen.as_raw_fd(), &UnixAddr::new_unnamed()).context("bind")?;
    helpers::send(&sender, b"to the box")?;
    helpers::send_to(&chosen, b"from anyone", &helpers::abstract_name("box")?)?;
    let all = [&listener, &client, &served, &receiver, &sender, &chosen];
    let want = all.map(helpers::names);
    let from = want[5].0;

    cx.ready()?;

    expect_eq("names", all.map(helpers::names), want)?;
    expect_eq("first", helpers::receive_from(&receiver)?, (b"to the box".to_vec(), Some(odd)))?;
    expect_eq("second", helpers::receive_from(&receiver)?, (b"from anyone".to_vec(), from))?;
    helpers::send(&sender, b"again")?;
    expect_eq("third", helpers::receive_from(&receiver)?, (b"again".to_vec(), Some(odd)))?;
    let late = helpers::connected(SockType::Stream, &door)?;
    helpers::send(&late, b"late")?;
    expect_bytes("a late client", &helpers::receive(&helpers::accepted(&listener)?)?, b"late")
}
