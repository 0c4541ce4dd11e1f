//! Parent and child with the same open file description of a queue, which is not blocking for
//! either, and one of their own.

use super::helpers::{MessageQueue, attributes, fetch, post};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "descriptors of a POSIX message queue, shared and not",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let queue = MessageQueue::new("shared", 3)?;
    let shared = queue.open(libc::O_RDWR | libc::O_NONBLOCK)?;
    let child = stage.fork("child", |stage| {
        let own = queue.open(libc::O_WRONLY)?;
        stage.hold();
        expect_eq("errno without a message", fd::errno("mq_receive", fetch(&shared))?, libc::EAGAIN)?;
        // It blocks for both of them from now on.
        let flags = fd::flags(&shared)?;
        fd::fcntl(&shared, libc::F_SETFL, flags & !libc::O_NONBLOCK)?;
        post(&own, b"from the child", 2)
    })?;

    cx.ready()?;

    stage.release();
    child.join()?;
    expect_eq("flags of the shared one", attributes(&shared)?.3, 0)?;
    expect_eq("message", fetch(&shared)?, (b"from the child".to_vec(), 2))
}
