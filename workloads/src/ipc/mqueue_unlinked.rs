//! A queue whose name was removed: two descriptions of it still lead to the same one.

use super::helpers::{MessageQueue, attributes, fetch, post};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a POSIX message queue without a name",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let queue = MessageQueue::new("unlinked", 4)?;
    let reading = queue.open(libc::O_RDONLY)?;
    queue.unlink()?;
    let before = attributes(&queue.fd)?;

    cx.ready()?;

    expect_eq("attributes", attributes(&queue.fd)?, before)?;
    post(&queue.fd, b"hello", 1)?;
    expect_eq("message", fetch(&reading)?, (b"hello".to_vec(), 1))?;
    expect_eq("errno of its name", fd::errno("mq_open", queue.open(libc::O_RDONLY))?, libc::ENOENT)
}
