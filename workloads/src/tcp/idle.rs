//! Connections through which nothing is on its way, within a process and between two.

use super::helpers::{listener, names, pair_of, receive, send, state, talk};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "addresses of idle TCP connections, and that they work",
    needs: &[Need::Root],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let listener = listener("127.0.0.1")?;
    let (one, other) = pair_of(&listener)?;
    let (mine, theirs) = pair_of(&listener)?;
    let child = fork("the child", || {
        expect_bytes("a question", &receive(&theirs, 8)?, b"question")?;
        send(&theirs, b"answer")
    })?;
    drop(theirs);
    let before = names((&one, &other))?;

    cx.ready()?;

    expect_eq("addresses", names((&one, &other))?, before)?;
    expect_eq("states", (state(&one)?, state(&other)?), (1, 1))?;
    expect_eq("bytes", (fd::available(&one)?, fd::available(&other)?), (0, 0))?;
    talk((&one, &other), cx.seed)?;
    send(&mine, b"question")?;
    expect_bytes("an answer", &receive(&mine, 6)?, b"answer")?;
    let (new, accepted) = pair_of(&listener)?;
    talk((&new, &accepted), cx.seed)?;
    child.join()
}
