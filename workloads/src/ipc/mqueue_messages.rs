//! A POSIX message queue with messages of several priorities, which stay in the queue while the job
//! is away.

use super::helpers::{MessageQueue, attributes, fetch, post};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a POSIX message queue: attributes, mode, messages by priority",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let queue = MessageQueue::new("messages", 7)?;
    post(&queue.fd, b"low", 1)?;
    post(&queue.fd, b"", 9)?;
    post(&queue.fd, &[5; 100], 5)?;
    let impatient = queue.open(libc::O_RDONLY | libc::O_NONBLOCK)?;
    let state =
        || anyhow::Ok((attributes(&queue.fd)?, attributes(&impatient)?, fd::stat(&queue.fd)?.st_mode));
    let before = state()?;

    cx.ready()?;

    expect_eq("attributes and mode", &state()?, &before)?;
    expect_eq("first", fetch(&queue.fd)?, (Vec::new(), 9))?;
    expect_eq("second", fetch(&impatient)?, (vec![5; 100], 5))?;
    expect_eq("third", fetch(&queue.fd)?, (b"low".to_vec(), 1))?;
    expect_eq("errno without a message", fd::errno("mq_receive", fetch(&impatient))?, libc::EAGAIN)?;
    let denied = fd::errno("mq_send", post(&impatient, b"?", 0))?;
    expect_eq("errno of writing to what is open for reading", denied, libc::EBADF)
}
