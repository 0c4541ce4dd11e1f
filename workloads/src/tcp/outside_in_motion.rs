//! Megabytes flow in both directions between the job and a process outside; every byte is compared.

use super::helpers::{end, expect_end, receive, send};
use super::partner::partner;
use crate::framework::prelude::*;
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "streams in both directions between the job and a process outside, without a byte lost or doubled",
    needs: &[Need::Root],
    active: true,
    statik: false,
    run,
};

const BLOCK: usize = 100_003;

/// Sends blocks until told to stop, or until the other side has ended its stream, and compares what
/// comes.
#[derive(Default)]
struct Play {
    stops: AtomicBool,
    received: AtomicU32,
}

impl Play {
    fn run(&self, stream: &TcpStream, own: u64, theirs: u64) -> Outcome {
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| -> Outcome {
                let block = pattern::bytes(BLOCK, own);
                while !self.stops.load(SeqCst) {
                    send(stream, &block)?;
                }
                end(stream)
            });
            let block = pattern::bytes(BLOCK, theirs);
            let compared = loop {
                // The end comes between two blocks.
                let first = fd::read_some(stream, 1)?;
                if first.is_empty() {
                    break Ok(());
                }
                let rest = receive(stream, BLOCK - 1)?;
                if first[..] != block[..1] || rest[..] != block[1..] {
                    break Err(anyhow!("a wrong byte in block {}", self.received.load(SeqCst)));
                }
                self.received.fetch_add(1, SeqCst);
            };
            self.stops.store(true, SeqCst);
            sender.join().map_err(|_| anyhow!("the sender panicked"))??;
            compared
        })
    }
}

fn run(cx: &mut Ctx) -> Outcome {
    let seed = cx.seed;
    let (stream, partner) = partner(cx, "127.0.0.1", |peer| Play::default().run(&peer, !seed, seed))?;
    let play = Play::default();
    // Of a size that a context file can be printed with.
    for name in [libc::SO_SNDBUF, libc::SO_RCVBUF] {
        option::set_int(&stream, libc::SOL_SOCKET, name, 1 << 19)?;
    }
    std::thread::scope(|scope| {
        let playing = scope.spawn(|| play.run(&stream, seed, !seed));
        let flowed = || {
            let wanted = play.received.load(SeqCst) + 20;
            sync::wait_until("streams to flow", || {
                Ok(play.received.load(SeqCst) >= wanted || playing.is_finished())
            })
        };
        flowed()?;

        cx.ready()?;

        flowed()?;
        play.stops.store(true, SeqCst);
        playing.join().map_err(|_| anyhow!("a thread panicked"))?
    })?;
    expect_end(&stream)?;
    partner.join()
}
