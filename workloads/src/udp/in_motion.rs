//! Two processes that count, by datagrams, as fast as they can.

use super::helpers::{local, name, receive};
use crate::framework::ping_pong::{game, number};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes in motion: a number goes to and fro over UDP and is never lost",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (one, other) = (local()?, local()?);
    one.connect(name(&other)?).context("connect")?;
    other.connect(name(&one)?).context("connect back")?;
    let round = |number_of_round: u64| {
        let turn = 2 * number_of_round;
        // Two at a time, so that one may wait while the other is answered.
        for ball in [turn, turn + 1] {
            one.send(&ball.to_le_bytes()).context("send")?;
        }
        for ball in [turn, turn + 1] {
            expect_eq("answer", number(receive(&one, 0)?.0), ball)?;
        }
        Ok(())
    };
    let goodbye = || one.send(&u64::MAX.to_le_bytes()).map(drop).context("send");
    let answer = || {
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
    };
    game(cx, round, goodbye, answer)
}
