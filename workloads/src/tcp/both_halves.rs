//! Connections of which one end has ended its stream, or both have.

use super::helpers::{await_end, end, expect_end, names, pair, receive, send, state};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "TCP connections that are open in one direction only",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

/// include/net/tcp_states.h
const FIN_WAIT2: i32 = 5;
const CLOSE_WAIT: i32 = 8;

fn run(cx: &mut Ctx) -> Outcome {
    let (ended, open) = pair()?;
    end(&ended)?;
    await_end(&open)?;
    let (waits, asked) = pair()?;
    send(&waits, b"question")?;
    end(&waits)?;
    expect_bytes("a question", &receive(&asked, 8)?, b"question")?;
    expect_end(&asked)?;
    let states = || Ok::<_, anyhow::Error>([state(&ended)?, state(&open)?, state(&waits)?, state(&asked)?]);
    let want = [FIN_WAIT2, CLOSE_WAIT, FIN_WAIT2, CLOSE_WAIT];
    sync::wait_until("the ends to be acknowledged", || Ok(states()? == want))?;
    let before = names((&ended, &open))?;

    cx.ready()?;

    expect_eq("addresses", names((&ended, &open))?, before)?;
    sync::wait_until("the states to be the same", || Ok(states()? == want))?;
    expect_end(&open)?;
    expect_end(&asked)?;
    expect_eq("after the end", fd::errno("send", send(&ended, b"x"))?, libc::EPIPE)?;
    send(&asked, b"answer")?;
    end(&asked)?;
    expect_bytes("an answer", &receive(&waits, 6)?, b"answer")?;
    expect_end(&waits)?;
    send(&open, b"still")?;
    drop(open);
    expect_bytes("the open half", &receive(&ended, 5)?, b"still")?;
    expect_end(&ended)
}
