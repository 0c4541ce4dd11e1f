//! A message queue, named as the job's: messages of several types, an empty one, a long one, and a
//! limit of bytes that is below what is in it.

use super::helpers::{Queue, claim};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a System V message queue: messages in order, by type, and its limit",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let queue = Queue::new(0o620)?;
    claim(cx, &[format!("msg:{}", queue.0)])?;
    let long = pattern::bytes(5000, cx.seed);
    let messages: [(i64, &[u8]); 5] =
        [(7, b"seven"), (2, b""), (i64::MAX, &long), (7, b"seven again"), (1, b"one")];
    for (kind, text) in messages {
        queue.send(kind, text)?;
    }
    queue.limit(4000)?;
    let before = queue.told()?;

    cx.ready()?;

    expect_eq("messages, bytes, limit, mode", queue.told()?, before)?;
    expect_eq("first of type 7", queue.receive(7, libc::IPC_NOWAIT)?, (7, b"seven".to_vec()))?;
    expect_eq("lowest type", queue.receive(-2, libc::IPC_NOWAIT)?, (1, b"one".to_vec()))?;
    expect_eq("first", queue.receive(0, libc::IPC_NOWAIT)?, (2, Vec::new()))?;
    let (kind, text) = queue.receive(0, libc::IPC_NOWAIT)?;
    expect_eq("type of the long one", kind, i64::MAX)?;
    expect_bytes("the long one", &text, &long)?;
    expect_eq("last", queue.receive(0, libc::IPC_NOWAIT)?, (7, b"seven again".to_vec()))?;
    let none = fd::errno("msgrcv", queue.receive(0, libc::IPC_NOWAIT))?;
    expect_eq("errno without a message", none, libc::ENOMSG)
}
