//! A listener, which accepts connections afterwards.

use super::helpers::{listener, pair_of, talk};
use crate::framework::prelude::*;
use std::net::TcpListener;

pub const WORKLOAD: Workload = Workload {
    purpose: "the address of a TCP listener, how many may wait, and a blocked accept",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// `tcpi_unacked` and `tcpi_sacked` of `struct tcp_info`: how many wait to be accepted, and may.
fn queues(listener: &TcpListener) -> anyhow::Result<(u32, u32)> {
    let info = option::get(listener, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    let word = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().expect("four bytes"));
    Ok((word(24), word(28)))
}

fn run(cx: &mut Ctx) -> Outcome {
    let (first, second) = (listener("127.0.0.1")?, listener("127.0.0.1")?);
    // SAFETY: numbers only.
    sys::check("listen", unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&first), 5) })?;
    let before = (first.local_addr()?, second.local_addr()?);
    let reuse = |of: &TcpListener| option::get_int(of, libc::SOL_SOCKET, libc::SO_REUSEADDR);
    let shown = (queues(&first)?, reuse(&first)?);
    let stage = Stage::new()?;
    let child = fork("the child", || {
        let (accepted, _) = second.accept()?;
        let mut accepted = accepted;
        std::io::Write::write_all(&mut accepted, b"welcome").context("send")
    })?;
    stage.wait_in(&child, libc::SYS_accept4)?;

    cx.ready()?;

    expect_eq("addresses", (first.local_addr()?, second.local_addr()?), before)?;
    expect_eq("how many may wait, and SO_REUSEADDR", (queues(&first)?, reuse(&first)?), shown)?;
    let (new, accepted) = pair_of(&first)?;
    talk((&new, &accepted), cx.seed)?;
    let client = std::net::TcpStream::connect(before.1).context("connect")?;
    expect_bytes("the welcome", &super::helpers::receive(&client, 7)?, b"welcome")?;
    child.join()
}
