//! Two processes that count, by datagrams, as fast as they can.

use super::helpers::{local, name, receive};
use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes in motion: a number goes to and fro over UDP and is never lost",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let (one, other) = (local()?, local()?);
    one.connect(name(&other)?).context("connect")?;
    other.connect(name(&one)?).context("connect back")?;
    let number = |bytes: Vec<u8>| u64::from_le_bytes(bytes.try_into().unwrap_or([0xff; 8]));
    let serve = fork("the server", || {
        let mut turn = 0u64;
        while shared.cell(1).get() == 0 {
            // Two at a time, so that one may wait while the other is answered.
            for ball in [turn, turn + 1] {
                one.send(&ball.to_le_bytes()).context("send")?;
            }
            for ball in [turn, turn + 1] {
                expect_eq("answer", number(receive(&one, 0)?.0), ball)?;
            }
            turn += 2;
            shared.number(0).store(turn, SeqCst);
        }
        one.send(&u64::MAX.to_le_bytes()).context("send")?;
        Ok(())
    })?;
    let answer = fork("the other player", || {
        for turn in 0u64.. {
            let (bytes, _) = receive(&other, 0)?;
            let ball = number(bytes);
            if ball == u64::MAX {
                break;
            }
            expect_eq("ball", ball, turn)?;
            other.send(&ball.to_le_bytes()).context("answer")?;
        }
        Ok(())
    })?;
    let played = |more| sync::wait_for_more("the game to go on", shared.number(0), more);
    played(20)?;

    cx.ready()?;

    played(20)?;
    shared.cell(1).set(1);
    serve.join()?;
    answer.join()
}
