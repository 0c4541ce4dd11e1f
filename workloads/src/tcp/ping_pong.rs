//! Two processes pass a counter back and forth through a connection as fast as they can.

use super::helpers::{pair, receive, send};
use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes in motion: a counter through a TCP connection, never skipping",
    needs: &[Need::Root],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let (mine, theirs) = pair()?;
    mine.set_nodelay(true)?;
    let number = |bytes: Vec<u8>| u64::from_le_bytes(bytes.try_into().unwrap_or([0xff; 8]));
    let serve = fork("the server", || {
        let mut turn = 0u64;
        while shared.cell(1).get() == 0 {
            send(&mine, &turn.to_le_bytes())?;
            expect_eq("answer", number(receive(&mine, 8)?), turn + 1)?;
            turn += 2;
            shared.number(0).store(turn, SeqCst);
        }
        send(&mine, &u64::MAX.to_le_bytes())
    })?;
    let answer = fork("the other player", || {
        let mut turn = 0u64;
        loop {
            let ball = number(receive(&theirs, 8)?);
            if ball == u64::MAX {
                return Ok(());
            }
            expect_eq("ball", ball, turn)?;
            send(&theirs, &(turn + 1).to_le_bytes())?;
            turn += 2;
        }
    })?;
    let played = |more| sync::wait_for_more("the game to go on", shared.number(0), more);
    played(20)?;

    cx.ready()?;

    played(20)?;
    shared.cell(1).set(1);
    serve.join()?;
    answer.join()
}
