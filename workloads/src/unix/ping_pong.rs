//! Two processes send data through a socket pair in both directions as fast as they can.

use super::helpers;
use crate::framework::ping_pong::number;
use crate::framework::prelude::*;
use nix::sys::socket::{SockFlag, SockType};
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes in motion: numbers through a stream and through packets, none lost or doubled",
    needs: &[],
    active: true,
    statik: false,
    run,
};

/// Bytes on their way in one direction at a time.
const AHEAD: u64 = 64;

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let mut children = Vec::new();
    for (lane, kind) in [SockType::Stream, SockType::SeqPacket].into_iter().enumerate() {
        let (one, other) = helpers::pair(kind, SockFlag::empty())?;
        let done = &shared;
        children.push(fork("a player", || {
            let (mut sent, mut got) = (0u64, 0u64);
            while done.cell(2).get() == 0 || got < sent {
                while sent < got + AHEAD && done.cell(2).get() == 0 {
                    fd::write_all(&one, &sent.to_le_bytes())?;
                    sent += 1;
                }
                if got < sent {
                    expect_eq("answer", number(fd::read_all(&one, 8)?), got)?;
                    got += 1;
                }
                done.number(lane).store(got, SeqCst);
            }
            fd::write_all(&one, &u64::MAX.to_le_bytes())
        })?);
        children.push(fork("the other player", || {
            let mut turn = 0u64;
            loop {
                let ball = number(fd::read_all(&other, 8)?);
                if ball == u64::MAX {
                    return Ok(());
                }
                expect_eq("ball", ball, turn)?;
                fd::write_all(&other, &ball.to_le_bytes())?;
                turn += 1;
            }
        })?);
    }
    let played = |more| -> Outcome {
        for lane in 0..2 {
            sync::wait_for_more("the game to go on", shared.number(lane), more)?;
        }
        Ok(())
    };
    played(20)?;

    cx.ready()?;

    played(20)?;
    shared.cell(2).set(1);
    children.into_iter().try_for_each(Child::join)
}
