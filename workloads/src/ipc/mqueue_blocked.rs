//! One process waits for a message, another for room.

use super::helpers::{MessageQueue, fetch, post};
use crate::framework::prelude::*;
use libc::{SYS_mq_timedreceive, SYS_mq_timedsend};

pub const WORKLOAD: Workload = Workload {
    purpose: "processes that are blocked in mq_receive and mq_send",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (empty, full) = (MessageQueue::new("empty", 2)?, MessageQueue::new("full", 1)?);
    post(&full.fd, b"first", 0)?;
    let reader = fork("reader", || {
        let got = fetch(&empty.fd)?;
        expect_eq("message", got, (b"at last".to_vec(), 3))
    })?;
    let writer = fork("writer", || post(&full.fd, b"second", 0))?;
    stage.wait_in(&reader, SYS_mq_timedreceive)?;
    stage.wait_in(&writer, SYS_mq_timedsend)?;

    cx.ready()?;

    stage.wait_in(&reader, SYS_mq_timedreceive)?;
    stage.wait_in(&writer, SYS_mq_timedsend)?;
    post(&empty.fd, b"at last", 3)?;
    reader.join()?;
    expect_eq("what was there", fetch(&full.fd)?, (b"first".to_vec(), 0))?;
    writer.join()?;
    expect_eq("what the writer sent", fetch(&full.fd)?, (b"second".to_vec(), 0))
}
