//! Megabytes flow through connections in both directions; every byte is compared.

use super::helpers::{end, pair, receive, send};
use crate::framework::prelude::*;
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes that send to each other as fast as they can, without a byte lost or doubled",
    needs: &[Need::Root],
    active: true,
    statik: false,
    run,
};

const BLOCK: usize = 100_003;

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let (one, other) = pair()?;
    // Of a size that a context file can be printed with.
    for end in [&one, &other] {
        option::set_int(end, libc::SOL_SOCKET, libc::SO_SNDBUF, 1 << 19)?;
        option::set_int(end, libc::SOL_SOCKET, libc::SO_RCVBUF, 1 << 19)?;
    }
    let seed = cx.seed;
    let play = |stream: &TcpStream, own: u64, theirs: u64, count: usize| -> Outcome {
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| -> Outcome {
                let block = pattern::bytes(BLOCK, own);
                while shared.cell(2).get() == 0 {
                    send(stream, &block)?;
                }
                end(stream)
            });
            let block = pattern::bytes(BLOCK, theirs);
            loop {
                // The end comes between two blocks.
                let first = fd::read_some(stream, 1)?;
                if first.is_empty() {
                    break;
                }
                let rest = receive(stream, BLOCK - 1)?;
                expect(first[..] == block[..1] && rest[..] == block[1..], || "a wrong byte".into())?;
                shared.number(count).fetch_add(1, SeqCst);
            }
            sender.join().map_err(|_| anyhow!("the sender panicked"))?
        })
    };
    let first = fork("one end", || play(&one, seed, !seed, 0))?;
    let second = fork("the other end", || play(&other, !seed, seed, 1))?;
    drop((one, other));
    let flowed = |more| {
        sync::wait_for_more("one direction to flow", shared.number(0), more)?;
        sync::wait_for_more("the other direction to flow", shared.number(1), more)
    };
    flowed(20)?;

    cx.ready()?;

    flowed(20)?;
    shared.cell(2).set(1);
    first.join()?;
    second.join()
}
